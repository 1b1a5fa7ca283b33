//! What becomes of a message after its attempt, as bytes and headers?

use crate::attempt::millis;
use broker::Settlement;
use bytes::Bytes;
use contract::{Attempt, Message};
use delivery::{Outcome, Reason, Verdict};
use std::fmt::Write as _;
use std::time::Duration;

/// The format of the body, as the broker's console shows it.
const KIND: &str = "callback.v1";

/// How far waiting for a target's limits counts: the wait has grown to its longest by then
/// (2^9 s). Beyond it the counter is for faults of our own, which are believed only so often.
const MOST_COUNTED: u32 = 9;

/// An attempt that has ended.
pub(crate) struct Attempted {
    pub(crate) outcome: Outcome,
    /// Unix time, ms.
    pub(crate) started_at: u64,
    pub(crate) duration: Duration,
}

impl Attempted {
    /// Unix time, ms.
    pub(crate) fn ended_at(&self) -> u64 {
        self.started_at.saturating_add(millis(self.duration))
    }
}

pub(crate) fn settlement(message: &Message, attempted: &Attempted, verdict: Verdict) -> Settlement {
    let ended_at = attempted.ended_at();
    match verdict {
        Verdict::Delivered => Settlement::Done,
        Verdict::Retry { after } => {
            let mut next = noted(message, attempted);
            next.attempt += 1;
            next.parked = 0;
            next.reply_to = None;
            later(next, ended_at, after)
        }
        Verdict::Park { after } => {
            let mut again = message.clone();
            again.parked += 1;
            later(again, ended_at, after)
        }
        Verdict::Dead(reason) => dead(noted(message, attempted), reason),
    }
}

/// The message set aside at `now` (Unix ms) before its attempt.
pub(crate) fn parked(message: &Message, now: u64, after: Duration) -> Settlement {
    let mut again = message.clone();
    again.parked = again
        .parked
        .saturating_add(1)
        .min(MOST_COUNTED)
        .max(again.parked);
    later(again, now, after)
}

/// The message given up, with its story in headers for the console. Nobody waits for it any more.
pub(crate) fn dead(mut message: Message, reason: Reason) -> Settlement {
    message.reply_to = None;
    Settlement::Dead {
        reason: reason.as_str(),
        message: queued(&message),
    }
}

/// The same message, unchanged, for another round.
pub fn same_again(message: &Message, body: Bytes) -> broker::Message {
    broker::Message {
        id: id(message),
        kind: KIND,
        headers: headers(message),
        body,
    }
}

/// The message as it goes into the queue.
pub(crate) fn queued(message: &Message) -> broker::Message {
    same_again(message, message.encode().into())
}

fn later(mut message: Message, ended_at: u64, after: Duration) -> Settlement {
    message.not_before = Some(ended_at.saturating_add(millis(after)));
    Settlement::Later {
        delay: after,
        message: queued(&message),
    }
}

/// The message, with this attempt remembered.
fn noted(message: &Message, attempted: &Attempted) -> Message {
    let mut message = message.clone();
    message.push_history(Attempt {
        number: message.attempt,
        started_at: attempted.started_at,
        duration_ms: millis(attempted.duration),
        outcome: attempted.outcome.label().to_owned(),
        http_status: attempted.outcome.http_status(),
    });
    message
}

fn id(message: &Message) -> String {
    message.request_id.hyphenated().to_string()
}

/// Headers for people; the body alone counts. Built afresh each time.
fn headers(message: &Message) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("ringback-app-id", message.app_id.clone()),
        ("ringback-message-type", message.message_type.clone()),
        ("ringback-attempt", message.attempt.to_string()),
    ];
    if let Some(callee_no) = &message.callee_no {
        headers.push(("ringback-callee-no", callee_no.clone()));
    }
    if !message.history.is_empty() {
        headers.push(("ringback-history", history(&message.history)));
    }
    headers
}

/// For instance `1: answered_5xx 503 in 12 ms; 2: timeout in 15000 ms`.
fn history(attempts: &[Attempt]) -> String {
    let mut text = String::new();
    for attempt in attempts {
        let between = if text.is_empty() { "" } else { "; " };
        let status = attempt
            .http_status
            .map(|it| format!(" {it}"))
            .unwrap_or_default();
        let Attempt {
            number,
            outcome,
            duration_ms,
            ..
        } = attempt;
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{between}{number}: {outcome}{status} in {duration_ms} ms"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Options;
    use uuid::Uuid;

    fn message() -> Message {
        Message {
            request_id: Uuid::nil(),
            app_id: "app".to_owned(),
            caller_no: None,
            callee_no: Some("EO001".to_owned()),
            message_type: "type".to_owned(),
            callback_url: None,
            options: Options::default(),
            accepted_at: 1_000,
            generation: 0,
            attempt: 2,
            parked: 3,
            not_before: None,
            traceparent: None,
            reply_to: Some("there".to_owned()),
            history: Vec::new(),
            request_message: Bytes::from_static(b"{ \"a\" : 1e400 }"),
        }
    }

    fn attempted(status: u16) -> Attempted {
        Attempted {
            outcome: Outcome::Answered {
                status,
                retry_after: None,
            },
            started_at: 5_000,
            duration: Duration::from_millis(12),
        }
    }

    const AFTER: Duration = Duration::from_secs(30);

    #[test]
    fn a_retry_asks_for_the_next_attempt_and_remembers_this_one() {
        let settlement = settlement(&message(), &attempted(503), Verdict::Retry { after: AFTER });
        let Settlement::Later { delay, message } = settlement else {
            panic!("{settlement:?}")
        };
        let next = Message::decode(&message.body).unwrap();
        assert_eq!(delay, AFTER);
        assert_eq!(
            (next.attempt, next.parked, next.not_before),
            (3, 0, Some(35_012))
        );
        assert_eq!(next.history.len(), 1);
        assert_eq!(
            (next.history[0].number, next.history[0].http_status),
            (2, Some(503))
        );
        assert_eq!(next.request_message, r#"{ "a" : 1e400 }"#);
        assert_eq!(next.reply_to, None);
    }

    #[test]
    fn a_parked_message_keeps_its_attempt() {
        let settlement = settlement(&message(), &attempted(503), Verdict::Park { after: AFTER });
        let Settlement::Later { message, .. } = settlement else {
            panic!("{settlement:?}")
        };
        let next = Message::decode(&message.body).unwrap();
        assert_eq!((next.attempt, next.parked), (2, 4));
        assert_eq!(next.reply_to.as_deref(), Some("there"));
        assert!(next.history.is_empty());
    }

    #[test]
    fn waiting_for_a_limit_keeps_everything_and_counts_only_as_far_as_waits_grow() {
        for (parked_before, counted) in [(0, 1), (8, 9), (9, 9), (11, 11)] {
            let mut message = message();
            message.parked = parked_before;
            let Settlement::Later {
                delay,
                message: again,
            } = parked(&message, 7_000, AFTER)
            else {
                panic!("not later")
            };
            let again = Message::decode(&again.body).unwrap();
            assert_eq!(delay, AFTER);
            message.parked = counted;
            message.not_before = Some(37_000);
            assert_eq!(again, message);
        }
    }

    #[test]
    fn a_dead_letter_tells_its_story_in_headers() {
        let verdict = Verdict::Dead(Reason::Rejected);
        let settlement = settlement(&message(), &attempted(400), verdict);
        let Settlement::Dead { reason, message } = settlement else {
            panic!("{settlement:?}")
        };
        assert_eq!(reason, "rejected");
        let history = (
            "ringback-history",
            "2: answered_4xx 400 in 12 ms".to_owned(),
        );
        assert!(message.headers.contains(&history), "{:?}", message.headers);
        assert_eq!(Message::decode(&message.body).unwrap().reply_to, None);
    }
}
