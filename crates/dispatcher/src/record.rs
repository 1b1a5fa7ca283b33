//! What is written down of what happened to a message?
//!
//! Pure: a message, what became of it, and a moment give a record.

use crate::attempt::millis;
use crate::follow_up::Attempted;
use broker::Settlement;
use contract::{Message, masked_url};
use delivery::{Outcome, Reason, Verdict};
use journal::{Attempt, Origin, Record, State};
use std::time::Duration;

/// An attempt that has ended; `settlement` is what was decided on it.
pub(crate) fn attempted(
    message: &Message,
    target: String,
    attempted: &Attempted,
    verdict: Verdict,
    settlement: &Settlement,
    run: u64,
) -> Record {
    let at = attempted.ended_at();
    let outcome = attempted.outcome.label();
    let state = match verdict {
        Verdict::Delivered => State::Delivered,
        Verdict::Retry { after } => State::Retrying {
            next_attempt_at: at.saturating_add(millis(after)),
        },
        Verdict::Park { after } => State::Parked {
            next_attempt_at: at.saturating_add(millis(after)),
            why: outcome.to_owned(),
        },
        Verdict::Dead(reason) => given_up(reason),
    };
    // What was parked is unspent: no call was made.
    let made = !matches!(verdict, Verdict::Park { .. });
    let made = made.then(|| Attempt {
        generation: message.generation,
        number: message.attempt,
        run,
        started_at: attempted.started_at,
        duration_ms: millis(attempted.duration),
        outcome: outcome.to_owned(),
        http_status: attempted.outcome.http_status(),
        detail: detail(&attempted.outcome),
    });
    Record {
        attempted: made,
        ..record(message, target, at, state, settlement)
    }
}

/// A message set aside before its attempt, for this long.
pub(crate) fn parked(
    message: &Message,
    target: String,
    at: u64,
    why: &str,
    after: Duration,
    settlement: &Settlement,
) -> Record {
    let state = State::Parked {
        next_attempt_at: at.saturating_add(millis(after)),
        why: why.to_owned(),
    };
    record(message, target, at, state, settlement)
}

/// A message given up without an attempt.
pub(crate) fn unattempted(
    message: &Message,
    target: String,
    at: u64,
    reason: Reason,
    settlement: &Settlement,
) -> Record {
    record(message, target, at, given_up(reason), settlement)
}

/// A message whose callback its caller has withdrawn.
pub(crate) fn cancelled(message: &Message, target: String, at: u64) -> Record {
    record(message, target, at, State::Cancelled, &Settlement::Done)
}

fn given_up(reason: Reason) -> State {
    match reason {
        Reason::Expired => State::Expired,
        reason => State::Dead {
            reason: reason.as_str().to_owned(),
        },
    }
}

fn record(
    message: &Message,
    target: String,
    at: u64,
    state: State,
    settlement: &Settlement,
) -> Record {
    let dead_letter = match settlement {
        Settlement::Dead { message, .. } => Some(message.body.clone()),
        Settlement::Done | Settlement::Later { .. } | Settlement::Poison { .. } => None,
    };
    Record {
        origin: origin(message, target),
        generation: message.generation,
        attempt: message.attempt,
        at,
        state,
        attempted: None,
        dead_letter,
    }
}

fn origin(message: &Message, target: String) -> Origin {
    Origin {
        request_id: message.request_id,
        app_id: message.app_id.clone(),
        caller_no: message.caller_no.clone(),
        callee_no: message.callee_no.clone(),
        message_type: message.message_type.clone(),
        callback_url: message.callback_url.as_deref().map(masked_url),
        target,
        accepted_at: message.accepted_at,
    }
}

/// What the outcome's label and status leave out.
fn detail(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Answered {
            retry_after: Some(after),
            ..
        } => Some(format!(
            "the target asks to be left alone for {} s",
            after.as_secs()
        )),
        Outcome::AddressRefused(refusal) => Some(refusal.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow_up;
    use bytes::Bytes;
    use contract::Options;
    use delivery::Refusal;
    use uuid::Uuid;

    const AFTER: Duration = Duration::from_secs(30);

    fn message() -> Message {
        Message {
            request_id: Uuid::from_u128(7),
            app_id: "app".to_owned(),
            caller_no: Some("EO005".to_owned()),
            callee_no: None,
            message_type: "type".to_owned(),
            callback_url: Some("http://callee.example/in?token=1".to_owned()),
            options: Options::default(),
            accepted_at: 1_000,
            generation: 1,
            attempt: 2,
            parked: 0,
            not_before: None,
            traceparent: None,
            reply_to: None,
            history: Vec::new(),
            request_message: Bytes::from_static(b"{}"),
        }
    }

    fn recorded(outcome: Outcome, verdict: Verdict) -> Record {
        let message = message();
        let made = Attempted {
            outcome,
            started_at: 5_000,
            duration: Duration::from_millis(12),
        };
        let settlement = follow_up::settlement(&message, &made, verdict);
        attempted(
            &message,
            "target".to_owned(),
            &made,
            verdict,
            &settlement,
            9,
        )
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered {
            status,
            retry_after: None,
        }
    }

    #[test]
    fn each_verdict_leaves_its_state_and_the_attempt_beside_it() {
        for (verdict, state) in [
            (Verdict::Delivered, State::Delivered),
            (
                Verdict::Retry { after: AFTER },
                State::Retrying {
                    next_attempt_at: 35_012,
                },
            ),
            (Verdict::Dead(Reason::Expired), State::Expired),
            (
                Verdict::Dead(Reason::Rejected),
                State::Dead {
                    reason: "rejected".to_owned(),
                },
            ),
        ] {
            let record = recorded(answered(503), verdict);
            assert_eq!(record.state, state);
            assert_eq!(
                (record.generation, record.attempt, record.at),
                (1, 2, 5_012)
            );
            let attempt = record.attempted.unwrap();
            assert_eq!((attempt.generation, attempt.number, attempt.run), (1, 2, 9));
            assert_eq!((attempt.started_at, attempt.duration_ms), (5_000, 12));
            assert_eq!(attempt.outcome, "answered_5xx");
            assert_eq!(attempt.http_status, Some(503));
        }
    }

    #[test]
    fn what_was_parked_has_made_no_attempt() {
        let record = recorded(Outcome::ResolverDown, Verdict::Park { after: AFTER });
        let next_attempt_at = 35_012;
        let why = "resolver_down".to_owned();
        let expected = State::Parked {
            next_attempt_at,
            why,
        };
        assert_eq!(record.state, expected);
        assert_eq!(record.attempted, None);
    }

    #[test]
    fn what_waits_for_its_target_says_why_and_until_when() {
        let message = message();
        let settlement = follow_up::parked(&message, 5_000, AFTER);
        let record = parked(&message, String::new(), 5_000, "rate", AFTER, &settlement);
        let expected = State::Parked {
            next_attempt_at: 35_000,
            why: "rate".to_owned(),
        };
        assert_eq!((record.state, record.attempt), (expected, 2));
        assert_eq!((record.attempted, record.dead_letter), (None, None));
    }

    #[test]
    fn what_is_given_up_keeps_its_message_and_nothing_else_does() {
        let dead = recorded(answered(400), Verdict::Dead(Reason::Rejected));
        let letter = Message::decode(&dead.dead_letter.unwrap()).unwrap();
        assert_eq!((letter.attempt, letter.history.len()), (2, 1));

        let expired = follow_up::dead(message(), Reason::Expired);
        let record = unattempted(&message(), String::new(), 9, Reason::Expired, &expired);
        assert_eq!((record.state, record.attempted), (State::Expired, None));
        assert!(Message::decode(&record.dead_letter.unwrap()).is_ok());

        for verdict in [Verdict::Delivered, Verdict::Retry { after: AFTER }] {
            assert_eq!(recorded(answered(200), verdict).dead_letter, None);
        }
        assert_eq!(cancelled(&message(), String::new(), 9).dead_letter, None);
    }

    #[test]
    fn the_origin_is_the_callers_word_without_the_query_string() {
        let origin = cancelled(&message(), "http://callee.example".to_owned(), 9).origin;
        assert_eq!(
            origin.callback_url.as_deref(),
            Some("http://callee.example/in?***")
        );
        assert_eq!(origin.target, "http://callee.example");
        assert_eq!(origin.request_id, Uuid::from_u128(7));
        assert_eq!(origin.accepted_at, 1_000);
        assert_eq!(origin.caller_no.as_deref(), Some("EO005"));
    }

    #[test]
    fn a_detail_says_what_outcome_and_status_leave_out() {
        let asked = Outcome::Answered {
            status: 429,
            retry_after: Some(Duration::from_secs(7)),
        };
        assert!(detail(&asked).unwrap().contains("7 s"));
        assert!(detail(&Outcome::AddressRefused(Refusal::Loopback)).is_some());
        assert_eq!(detail(&Outcome::Timeout), None);
    }
}
