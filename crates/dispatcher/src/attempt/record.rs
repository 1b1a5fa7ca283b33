//! Builds the record of a message, and makes it durable before the settlement.
//!
//! Durable means: confirmed by the journal's queue, or in the recorder's spool. An outage of the journal
//! must not stop deliveries: after a timeout the message is settled, and the record stays in the
//! recorder's buffer.

use super::call::CompletedAttempt;
use crate::deferral::DeferralCause;
use broker::Settlement;
use contract::{Message, duration_ms, masked_url};
use delivery::{DeadLetterReason, Outcome, Verdict};
use failpoints::sabotage;
use journal::{AttemptRecord, Keep, Origin, Record, RecordedState, Recorder};
use std::time::Duration;

/// For callbacks that are delivered or will be retried.
const RECORD_TIMEOUT: Duration = Duration::from_millis(250);
/// The same where a record that is late goes to a spool: longer than the spool itself takes to say that it
/// has failed. It is used up by a process without a processor, which would lose the record if it were
/// killed, and where the spool's disk hangs. During an outage a record is in the spool within a few
/// milliseconds, and where the spool says that it has failed nobody waits.
const SPOOLED_RECORD_TIMEOUT: Duration = Duration::from_secs(5);
/// As long without a spool, because a dead letter must be found by the operators who replay it.
const DEAD_LETTER_RECORD_TIMEOUT: Duration = Duration::from_secs(5);

/// Hands a record to the recorder, and waits until it is durable, for a time that depends on its state.
pub(crate) async fn record_before_settle(record: Option<Record>, recorder: Option<&Recorder>) {
    let (Some(record), Some(recorder)) = (record, recorder) else {
        return;
    };
    sabotage!("forget-record", return);
    let spools = recorder.spool().is_some();
    let Some(timeout) = record_timeout(&record.state, spools) else {
        return recorder.record(record);
    };
    // The recorder reports records that are late or dropped.
    let _ = tokio::time::timeout(timeout, recorder.record_durably(record)).await;
}

/// `None`: no wait.
fn record_timeout(state: &RecordedState, spools: bool) -> Option<Duration> {
    match state {
        RecordedState::Queued { .. } | RecordedState::Deferred { .. } => None,
        RecordedState::Retrying { .. } | RecordedState::Delivered | RecordedState::Cancelled => {
            Some(if spools {
                SPOOLED_RECORD_TIMEOUT
            } else {
                RECORD_TIMEOUT
            })
        }
        RecordedState::Dead { .. } | RecordedState::Expired => Some(DEAD_LETTER_RECORD_TIMEOUT),
    }
}

/// An attempt with its verdict.
pub(super) fn attempted(
    message: &Message,
    target: String,
    attempt: &CompletedAttempt,
    verdict: Verdict,
    settlement: &Settlement,
    run: u64,
) -> Record {
    let at = attempt.ended_at();
    sabotage!(
        "record-delivered",
        if matches!(verdict, Verdict::Retry { .. }) {
            return record(message, target, at, RecordedState::Delivered, settlement);
        }
    );
    let outcome = attempt.outcome.label();
    let state = match verdict {
        Verdict::Delivered => RecordedState::Delivered,
        Verdict::Retry { after } => RecordedState::Retrying {
            next_attempt_at: at.saturating_add(duration_ms(after)),
        },
        Verdict::Defer { after } => RecordedState::Deferred {
            next_attempt_at: at.saturating_add(duration_ms(after)),
            reason: outcome.to_owned(),
        },
        Verdict::DeadLetter(reason) => dead(reason),
    };
    // A deferral leaves the attempt unspent: no call was made.
    let spent = !matches!(verdict, Verdict::Defer { .. });
    let attempted = spent.then(|| AttemptRecord {
        generation: message.generation,
        number: message.attempt,
        run,
        started_at: attempt.started_at,
        duration_ms: duration_ms(attempt.duration),
        outcome: outcome.to_owned(),
        http_status: attempt.outcome.http_status(),
        detail: detail(&attempt.outcome),
        cause: attempt.cause.clone(),
        answer: attempt.answer.clone(),
    });
    Record {
        attempted,
        ..record(message, target, at, state, settlement)
    }
}

/// A message deferred before its attempt.
pub(super) fn deferred(
    message: &Message,
    target: String,
    at: u64,
    reason: DeferralCause,
    delay: Duration,
    settlement: &Settlement,
) -> Record {
    let state = RecordedState::Deferred {
        next_attempt_at: at.saturating_add(duration_ms(delay)),
        reason: reason.as_str().to_owned(),
    };
    record(message, target, at, state, settlement)
}

/// A callback dead-lettered without an attempt.
pub(crate) fn unattempted(
    message: &Message,
    target: String,
    at: u64,
    reason: DeadLetterReason,
    settlement: &Settlement,
) -> Record {
    record(message, target, at, dead(reason), settlement)
}

/// A message of a cancelled callback.
pub(super) fn cancelled(message: &Message, target: String, at: u64) -> Record {
    record(
        message,
        target,
        at,
        RecordedState::Cancelled,
        &Settlement::Complete,
    )
}

fn dead(reason: DeadLetterReason) -> RecordedState {
    match reason {
        DeadLetterReason::Expired => RecordedState::Expired,
        DeadLetterReason::Exhausted
        | DeadLetterReason::Rejected
        | DeadLetterReason::Redirected
        | DeadLetterReason::AddressRefused
        | DeadLetterReason::DeliveryLimit => RecordedState::Dead {
            reason: reason.as_str().to_owned(),
        },
    }
}

fn record(
    message: &Message,
    target: String,
    at: u64,
    state: RecordedState,
    settlement: &Settlement,
) -> Record {
    let dead_letter = match settlement {
        Settlement::DeadLetter { message, .. } => Some(message.body.clone()),
        Settlement::Complete | Settlement::Reschedule { .. } | Settlement::Quarantine { .. } => {
            None
        }
    };
    Record {
        origin: origin_of(message, target),
        generation: message.generation,
        attempt: message.attempt,
        at,
        state,
        attempted: None,
        hold: message.hold,
        message: dead_letter,
    }
}

/// The record with what it brings of the message beside the dead letter: of a callback that begins to
/// wait the follow-up message, once in each generation, and of a delivered one the message itself.
pub(super) fn with_message(
    mut record: Record,
    message: &Message,
    settlement: &Settlement,
    keep: Keep,
) -> Record {
    let begins_to_wait = message.attempt == 1 && message.deferrals == 0 && message.hold == 0;
    match settlement {
        Settlement::Reschedule { message, .. } if keep.waiting && begins_to_wait => {
            record.message = Some(message.body.clone());
        }
        Settlement::Complete if keep.delivered && record.state == RecordedState::Delivered => {
            record.message = Some(message.encode().into());
        }
        Settlement::Complete
        | Settlement::Reschedule { .. }
        | Settlement::DeadLetter { .. }
        | Settlement::Quarantine { .. } => {}
    }
    record
}

/// What the message says about its callback. `target`: scheme, host and port; empty if unknown.
pub fn origin_of(message: &Message, target: String) -> Origin {
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

/// What the outcome's label and status do not show.
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
        Outcome::SuccessRuleUnreadable { reason, .. } => Some(reason.to_string()),
        Outcome::NameUnresolved(failed) => Some(failed.to_string()),
        Outcome::MalformedAnswer(part) => Some(part.to_string()),
        Outcome::Answered {
            retry_after: None, ..
        }
        | Outcome::SuccessRuleFailed { .. }
        | Outcome::ConnectionRefused
        | Outcome::ConnectionReset
        | Outcome::Unreachable
        | Outcome::ConnectTimeout
        | Outcome::Timeout
        | Outcome::NameNotFound
        | Outcome::Tls
        | Outcome::CalleeWithoutUrl
        | Outcome::ResolverDown
        | Outcome::Failed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::settlement;
    use bytes::Bytes;
    use contract::{Options, UnknownFields};
    use delivery::limits::DeferReason;
    use delivery::{FailedLookup, MalformedPart, Refusal, UnreadableAnswer};
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
            deferrals: 0,
            hold: 0,
            not_before: None,
            scheduled_at: None,
            traceparent: None,
            tracestate: None,
            reply_to: None,
            history: Vec::new(),
            unknown: UnknownFields::default(),
            request_message: Bytes::from_static(b"{}"),
        }
    }

    fn recorded(outcome: Outcome, verdict: Verdict) -> Record {
        let message = message();
        let made = CompletedAttempt {
            outcome,
            cause: Some("Connection refused (os error 111)".to_owned()),
            answer: None,
            started_at: 5_000,
            duration: Duration::from_millis(12),
        };
        let settlement = settlement::settlement_for(&message, &made, verdict);
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
    fn each_verdict_has_its_state_and_records_the_attempt() {
        for (verdict, state) in [
            (Verdict::Delivered, RecordedState::Delivered),
            (
                Verdict::Retry { after: AFTER },
                RecordedState::Retrying {
                    next_attempt_at: 35_012,
                },
            ),
            (
                Verdict::DeadLetter(DeadLetterReason::Expired),
                RecordedState::Expired,
            ),
            (
                Verdict::DeadLetter(DeadLetterReason::Rejected),
                RecordedState::Dead {
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
            let cause = attempt.cause.as_deref();
            assert_eq!(cause, Some("Connection refused (os error 111)"));
        }
    }

    #[test]
    fn a_deferral_for_an_internal_error_records_no_attempt() {
        let record = recorded(Outcome::ResolverDown, Verdict::Defer { after: AFTER });
        let next_attempt_at = 35_012;
        let reason = "resolver_down".to_owned();
        let expected = RecordedState::Deferred {
            next_attempt_at,
            reason,
        };
        assert_eq!(record.state, expected);
        assert_eq!(record.attempted, None);
    }

    #[test]
    fn a_deferral_by_a_limit_has_its_reason_and_due_time() {
        let message = message();
        let settlement = settlement::defer(&message, 5_000, AFTER);
        let record = deferred(
            &message,
            String::new(),
            5_000,
            DeferralCause::Limit(DeferReason::Rate),
            AFTER,
            &settlement,
        );
        let expected = RecordedState::Deferred {
            next_attempt_at: 35_000,
            reason: "rate".to_owned(),
        };
        assert_eq!((record.state, record.attempt), (expected, 2));
        assert_eq!((record.attempted, record.message), (None, None));
    }

    #[test]
    fn only_a_dead_letter_keeps_its_message() {
        let dead = recorded(
            answered(400),
            Verdict::DeadLetter(DeadLetterReason::Rejected),
        );
        let letter = Message::decode(&dead.message.unwrap()).unwrap();
        assert_eq!((letter.attempt, letter.history.len()), (2, 1));

        let expired = settlement::dead_letter(message(), DeadLetterReason::Expired);
        let record = unattempted(
            &message(),
            String::new(),
            9,
            DeadLetterReason::Expired,
            &expired,
        );
        assert_eq!(
            (record.state, record.attempted),
            (RecordedState::Expired, None)
        );
        assert!(Message::decode(&record.message.unwrap()).is_ok());

        for verdict in [Verdict::Delivered, Verdict::Retry { after: AFTER }] {
            assert_eq!(recorded(answered(200), verdict).message, None);
        }
        assert_eq!(cancelled(&message(), String::new(), 9).message, None);
    }

    #[test]
    fn the_first_record_of_a_callback_that_waits_has_its_message_and_no_later_one() {
        let keep = Keep {
            waiting: true,
            delivered: false,
            answers: true,
        };
        let kept = |message: &Message, keep| {
            let settlement = settlement::defer(message, 5_000, AFTER);
            let cause = DeferralCause::Limit(DeferReason::Rate);
            let record = deferred(message, String::new(), 5_000, cause, AFTER, &settlement);
            with_message(record, message, &settlement, keep).message
        };
        let first = Message {
            attempt: 1,
            ..message()
        };
        let next = Message::decode(&kept(&first, keep).unwrap()).unwrap();
        assert_eq!((next.attempt, next.deferrals), (1, 1));
        assert_eq!(kept(&next, keep), None);
        assert_eq!(kept(&message(), keep), None);
        let retried_now = Message {
            hold: 1,
            ..first.clone()
        };
        assert_eq!(kept(&retried_now, keep), None);
        let off = Keep {
            waiting: false,
            ..keep
        };
        assert_eq!(kept(&first, off), None);
    }

    #[test]
    fn a_delivered_callbacks_message_is_kept_only_if_it_is_asked_for() {
        let delivered = || recorded(answered(200), Verdict::Delivered);
        let kept = |delivered_too| {
            let keep = Keep {
                waiting: true,
                delivered: delivered_too,
                answers: true,
            };
            with_message(delivered(), &message(), &Settlement::Complete, keep).message
        };
        assert_eq!(kept(false), None);
        let again = Message::decode(&kept(true).unwrap()).unwrap();
        assert_eq!(again, message());
    }

    #[test]
    fn the_origin_has_the_callers_url_without_its_query_string() {
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
    fn a_detail_shows_what_outcome_and_status_do_not() {
        let asked = Outcome::Answered {
            status: 429,
            retry_after: Some(Duration::from_secs(7)),
        };
        assert!(detail(&asked).unwrap().contains("7 s"));
        for outcome in [
            Outcome::AddressRefused(Refusal::Loopback),
            Outcome::NameUnresolved(FailedLookup::Ipv6),
            Outcome::MalformedAnswer(MalformedPart::Header),
            Outcome::SuccessRuleUnreadable {
                status: 200,
                reason: UnreadableAnswer::NotJson,
            },
        ] {
            assert!(detail(&outcome).is_some(), "{outcome:?}");
        }
        assert_eq!(detail(&Outcome::Timeout), None);
    }

    #[test]
    fn records_of_dead_letters_are_waited_for_longest_and_of_deferrals_never() {
        let next_attempt_at = 1;
        let reason = "rejected".to_owned();
        for (state, expected) in [
            (RecordedState::Queued { not_before: None }, None),
            (
                RecordedState::Deferred {
                    next_attempt_at,
                    reason: reason.clone(),
                },
                None,
            ),
            (
                RecordedState::Retrying { next_attempt_at },
                Some(RECORD_TIMEOUT),
            ),
            (RecordedState::Delivered, Some(RECORD_TIMEOUT)),
            (RecordedState::Cancelled, Some(RECORD_TIMEOUT)),
            (
                RecordedState::Dead { reason },
                Some(DEAD_LETTER_RECORD_TIMEOUT),
            ),
            (RecordedState::Expired, Some(DEAD_LETTER_RECORD_TIMEOUT)),
        ] {
            assert_eq!(record_timeout(&state, false), expected, "{state:?}");
            let spooled = expected.map(|it| it.max(SPOOLED_RECORD_TIMEOUT));
            assert_eq!(record_timeout(&state, true), spooled, "{state:?}");
        }
    }
}
