//! How long does work wait until its record is durable?
//!
//! The record goes before the settlement, but an outage of the journal must not stop deliveries:
//! after the wait the record is left in the recorder's spool, and the work goes on.

use journal::{Record, Recorder, State};
use std::time::Duration;

/// For what has happened and stays in the queue or is delivered.
const A_MOMENT: Duration = Duration::from_millis(250);
/// For what is given up: what it was must be found by whoever mends it.
const LONG: Duration = Duration::from_secs(5);

/// Hands a record over, and waits for it as long as it is worth.
pub(crate) async fn keep(recorder: &Recorder, record: Record) {
    let Some(patience) = patience(&record.state) else {
        return recorder.record(record);
    };
    // Too late, and dropped for want of room: both are the recorder's to tell.
    let _ = tokio::time::timeout(patience, recorder.record_durably(record)).await;
}

fn patience(state: &State) -> Option<Duration> {
    match state {
        State::Queued { .. } | State::Parked { .. } => None,
        State::Retrying { .. } | State::Delivered | State::Cancelled => Some(A_MOMENT),
        State::Dead { .. } | State::Expired => Some(LONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_up_is_waited_for_longest_and_parking_never() {
        let next_attempt_at = 1;
        let (why, reason) = ("failed".to_owned(), "rejected".to_owned());
        for (state, expected) in [
            (State::Queued { not_before: None }, None),
            (
                State::Parked {
                    next_attempt_at,
                    why,
                },
                None,
            ),
            (State::Retrying { next_attempt_at }, Some(A_MOMENT)),
            (State::Delivered, Some(A_MOMENT)),
            (State::Cancelled, Some(A_MOMENT)),
            (State::Dead { reason }, Some(LONG)),
            (State::Expired, Some(LONG)),
        ] {
            assert_eq!(patience(&state), expected, "{state:?}");
        }
    }
}
