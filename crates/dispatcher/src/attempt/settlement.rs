//! Settlements, follow-up messages and replies.

use super::call::CompletedAttempt;
use broker::{Broker, BrokerMessage, Received, Settlement};
use contract::{
    HistoryEntry, Message, Probe, ProbeAnswer, Reply, ReplyCode, UnknownFields, duration_ms,
};
use delivery::{DeadLetterReason, Verdict};
use failpoints::sabotage;
use runtime::clock::now_ms;
use std::time::Duration;

/// Deferrals by a target's limits are counted up to this number: the delay has reached its maximum by
/// then (2^9 s). Higher counts are for internal errors, of which only a few in a row are not charged.
pub(super) const MAX_LIMIT_DEFERRALS: u32 = 9;

pub(super) fn settlement_for(
    message: &Message,
    attempt: &CompletedAttempt,
    verdict: Verdict,
) -> Settlement {
    let ended_at = attempt.ended_at();
    match verdict {
        Verdict::Delivered => {
            sabotage!(
                "deliver-again",
                return reschedule(message.clone(), ended_at, Duration::ZERO)
            );
            Settlement::Complete
        }
        Verdict::Retry { after } => {
            let mut next = with_history(message, attempt);
            next.attempt += 1;
            next.deferrals = 0;
            next.reply_to = None;
            sabotage!("alter-retry", next.request_message = "{}".into());
            reschedule(next, ended_at, after)
        }
        Verdict::Defer { after } => {
            let mut next = message.clone();
            next.deferrals += 1;
            reschedule(next, ended_at, after)
        }
        Verdict::DeadLetter(reason) => dead_letter(with_history(message, attempt), reason),
    }
}

/// Defers the message at `now` (Unix ms), before its attempt.
pub(super) fn defer(message: &Message, now: u64, delay: Duration) -> Settlement {
    let mut next = message.clone();
    next.deferrals = next
        .deferrals
        .saturating_add(1)
        .min(MAX_LIMIT_DEFERRALS)
        .max(next.deferrals);
    reschedule(next, now, delay)
}

/// Defers the message at `now` (Unix ms) after an internal error: each one counts.
pub(super) fn defer_after_error(message: &Message, now: u64, delay: Duration) -> Settlement {
    let mut next = message.clone();
    next.deferrals = next.deferrals.saturating_add(1);
    reschedule(next, now, delay)
}

/// Dead-letters the message. No caller waits for a reply any more.
pub(crate) fn dead_letter(mut message: Message, reason: DeadLetterReason) -> Settlement {
    message.reply_to = None;
    Settlement::DeadLetter {
        reason: reason.as_str(),
        message: to_broker_message(&message),
    }
}

/// Settles the message. If that fails (`false`), it is delivered again, with the same `webhook-id`.
pub(crate) async fn settle(received: Received, settlement: Settlement) -> bool {
    let settled = received.settle(settlement).await;
    if let Err(error) = &settled {
        tracing::warn!(%error, "failed to settle a message");
    }
    settled.is_ok()
}

/// Sends the outcome of the first attempt to a caller that waits for it. Best effort: it may be lost.
pub(super) fn send_reply(message: &Message, code: Option<ReplyCode>, broker: &Broker) {
    let is_first = message.attempt == 1 && message.generation == 0;
    if let (true, Some(address), Some(code)) = (is_first, &message.reply_to, code) {
        let request_id = message.request_id;
        let reply = Reply { request_id, code }.encode();
        broker.reply(address.clone(), reply.into());
    }
}

/// Answers a probe: everything that was ready before it in its queue has been received since. Best
/// effort, as every reply.
pub(super) fn answer_probe(probe: &Probe, broker: &Broker) {
    let answer = ProbeAnswer {
        probe_id: probe.probe_id,
        received_at: now_ms(),
    };
    broker.reply(probe.reply_to.clone(), answer.encode().into());
}

/// Encodes a message for the queue.
pub fn to_broker_message(message: &Message) -> BrokerMessage {
    BrokerMessage {
        id: message.request_id.hyphenated().to_string(),
        kind: Message::AMQP_TYPE,
        headers: headers(message),
        body: message.encode().into(),
    }
}

fn reschedule(mut message: Message, ended_at: u64, delay: Duration) -> Settlement {
    sabotage!("retry-early", {
        let (delay, message) = (Duration::ZERO, to_broker_message(&message));
        return Settlement::Reschedule { delay, message };
    });
    message.not_before = Some(ended_at.saturating_add(duration_ms(delay)));
    message.scheduled_at = Some(ended_at);
    Settlement::Reschedule {
        delay,
        message: to_broker_message(&message),
    }
}

/// The message with this attempt in its history.
fn with_history(message: &Message, attempt: &CompletedAttempt) -> Message {
    let mut message = message.clone();
    message.push_history(HistoryEntry {
        number: message.attempt,
        started_at: attempt.started_at,
        duration_ms: duration_ms(attempt.duration),
        outcome: attempt.outcome.label().to_owned(),
        http_status: attempt.outcome.http_status(),
        unknown: UnknownFields::default(),
    });
    message
}

/// Headers for people. The gateway reads only the body.
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
fn history(attempts: &[HistoryEntry]) -> String {
    let entries = attempts.iter().map(|attempt| {
        let status = attempt.http_status.map(|status| format!(" {status}"));
        let (outcome, status) = (&attempt.outcome, status.unwrap_or_default());
        let (number, ms) = (attempt.number, attempt.duration_ms);
        format!("{number}: {outcome}{status} in {ms} ms")
    });
    entries.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use contract::Options;
    use delivery::Outcome;
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
            deferrals: 3,
            hold: 0,
            not_before: None,
            scheduled_at: None,
            traceparent: None,
            tracestate: None,
            reply_to: Some("there".to_owned()),
            history: Vec::new(),
            unknown: UnknownFields::default(),
            request_message: Bytes::from_static(b"{ \"a\" : 1e400 }"),
        }
    }

    fn completed(status: u16) -> CompletedAttempt {
        CompletedAttempt {
            outcome: Outcome::Answered {
                status,
                retry_after: None,
            },
            cause: None,
            answer: None,
            started_at: 5_000,
            duration: Duration::from_millis(12),
        }
    }

    const AFTER: Duration = Duration::from_secs(30);

    #[test]
    fn a_retry_is_for_the_next_attempt_and_has_this_one_in_its_history() {
        let settlement =
            settlement_for(&message(), &completed(503), Verdict::Retry { after: AFTER });
        let Settlement::Reschedule { delay, message } = settlement else {
            panic!("{settlement:?}")
        };
        let next = Message::decode(&message.body).unwrap();
        assert_eq!(delay, AFTER);
        assert_eq!(
            (next.attempt, next.deferrals, next.not_before),
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
    fn a_deferral_for_an_internal_error_keeps_the_attempt() {
        let settlement =
            settlement_for(&message(), &completed(503), Verdict::Defer { after: AFTER });
        let Settlement::Reschedule { message, .. } = settlement else {
            panic!("{settlement:?}")
        };
        let next = Message::decode(&message.body).unwrap();
        assert_eq!((next.attempt, next.deferrals), (2, 4));
        assert_eq!(next.reply_to.as_deref(), Some("there"));
        assert!(next.history.is_empty());
    }

    #[test]
    fn a_deferral_by_a_limit_changes_nothing_else_and_counts_up_to_the_longest_delay() {
        for (deferrals_before, counted) in [(0, 1), (8, 9), (9, 9), (11, 11)] {
            let mut message = message();
            message.deferrals = deferrals_before;
            let Settlement::Reschedule {
                delay,
                message: deferred,
            } = defer(&message, 7_000, AFTER)
            else {
                panic!("not rescheduled")
            };
            let deferred = Message::decode(&deferred.body).unwrap();
            assert_eq!(delay, AFTER);
            message.deferrals = counted;
            (message.not_before, message.scheduled_at) = (Some(37_000), Some(7_000));
            assert_eq!(deferred, message);
        }
    }

    #[test]
    fn a_follow_up_keeps_the_keys_that_this_gateway_does_not_know() {
        let body = br#"{"v":2,"request_id":"01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7f","app_id":"shop","callee_no":"EO001","message_type":"order.paid","options":{"max_attempts":3,"batch":{"of":[1, 2]}},"accepted_at":1758500000000,"generation":0,"attempt":2,"deferrals":0,"history":[{"number":1,"started_at":1758500000010,"duration_ms":3000,"outcome":"timeout","region":null}],"tier":3,"partition":"\u0061", "request_message":{"field1":1}}"#;
        let message = Message::decode(&Bytes::from_static(body)).unwrap();
        let settlements = [
            settlement_for(&message, &completed(503), Verdict::Retry { after: AFTER }),
            settlement_for(&message, &completed(503), Verdict::Defer { after: AFTER }),
            defer(&message, 7_000, AFTER),
            settlement_for(
                &message,
                &completed(400),
                Verdict::DeadLetter(DeadLetterReason::Rejected),
            ),
        ];
        for settlement in settlements {
            let (Settlement::Reschedule { message: next, .. }
            | Settlement::DeadLetter { message: next, .. }) = settlement
            else {
                panic!("{settlement:?}")
            };
            assert_eq!(next.kind, "callback.v2");
            let next = String::from_utf8(next.body.to_vec()).unwrap();
            for kept in [
                r#""batch":{"of":[1, 2]}"#,
                r#""region":null"#,
                r#""tier":3"#,
                r#""partition":"\u0061""#,
            ] {
                assert!(next.contains(kept), "no {kept} in {next}");
            }
        }
    }

    #[test]
    fn a_dead_letter_has_its_history_in_the_headers() {
        let verdict = Verdict::DeadLetter(DeadLetterReason::Rejected);
        let settlement = settlement_for(&message(), &completed(400), verdict);
        let Settlement::DeadLetter { reason, message } = settlement else {
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
