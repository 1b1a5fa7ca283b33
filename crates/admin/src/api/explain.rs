//! Explains in plain words why a callback waits or has ended, and what happens next.

use std::time::Duration;

use contract::CallbackStatus;
use delivery::DeadLetterReason;
use delivery::limits::DeferReason;
use journal::{Callback, Unaccounted};

use super::reason;
use runtime::text::one_line;

/// One or two sentences on the callback's state at `now`, Unix ms.
pub(super) fn explain(callback: &Callback, now: u64) -> String {
    let status = callback.status_at(now);
    let mut text = match status {
        CallbackStatus::Delivered => "The target accepted it; nothing more happens.".to_owned(),
        CallbackStatus::Expired => format!(
            "It expired before it could be delivered. {}",
            next_for_dead_letter(callback)
        ),
        CallbackStatus::Dead => {
            let why = match &callback.reason {
                Some(reason) => dead_letter_reason(reason),
                None => NOT_RECORDED.to_owned(),
            };
            let next = next_for_dead_letter(callback);
            format!("It was dead-lettered: {why}. {next}")
        }
        CallbackStatus::Cancelled => {
            "It was cancelled before it was delivered; nothing more happens.".to_owned()
        }
        CallbackStatus::Delivering | CallbackStatus::Queued | CallbackStatus::Retrying => {
            match callback.overdue_since(now) {
                Some(since) => overdue(since, now),
                None if status == CallbackStatus::Delivering => {
                    "Its next attempt is due: it is in progress, or waits for a free slot."
                        .to_owned()
                }
                None => waiting(callback, now),
            }
        }
        CallbackStatus::Unaccounted => unaccounted(callback),
    };
    if callback.cancel_requested && status.is_unfinished() {
        text.push_str(
            " Cancellation was requested: it takes effect when the callback waits again.",
        );
    }
    text
}

fn unaccounted(callback: &Callback) -> String {
    let (last, since) = match callback.unaccounted {
        Some(Unaccounted { last_status, since }) => {
            let since = format!(" since {}", contract::rfc3339(since));
            (last_status, since)
        }
        None => (CallbackStatus::Queued, String::new()),
    };
    let due = match callback.next_attempt_at {
        Some(at) => format!(", due at {}", contract::rfc3339(at)),
        None => String::new(),
    };
    format!(
        "It is unaccounted for{since}: no queue and no dispatcher holds its message, and no record \
         says how it ended. Last it was {last}{due}. It may have been delivered: ask its target for \
         this webhook-id. It cannot be replayed, because no body is left; if the target lacks it, its \
         caller must send it again. A late record of it still counts."
    )
}

fn next_for_dead_letter(callback: &Callback) -> &'static str {
    if callback.discarded_by_retention {
        "It was discarded because of its age (dead_letters.retention); nothing more happens."
    } else if callback.discarded {
        "An operator discarded it; nothing more happens."
    } else {
        "Nothing more happens unless it is replayed (`ringback dead-letters replay`)."
    }
}

/// A callback whose next attempt was due at `since` and is not recorded.
fn overdue(since: u64, now: u64) -> String {
    let ago = Duration::from_secs(now.saturating_sub(since) / 1_000);
    format!(
        "Its next attempt is overdue: it was due at {}, {} ago. It waits behind others (compare the \
         backlog), or its message is gone: a queue was purged, or the message was removed by hand. \
         If the queues are empty it will not be attempted, and its caller must send it again.",
        contract::rfc3339(since),
        humantime::format_duration(ago)
    )
}

fn waiting(callback: &Callback, now: u64) -> String {
    let next = |what: &str| match callback.next_attempt_at {
        Some(at) => format!("{what} {} ({}).", contract::rfc3339(at), from_now(at, now)),
        None => format!("{what} the first free slot."),
    };
    if let Some(reason) = &callback.deferred_reason {
        let why = deferral_reason(reason);
        return format!(
            "It is deferred: {why}. This spends no attempt. {}",
            next("The next try is at")
        );
    }
    if callback.status == CallbackStatus::Retrying {
        let last = callback.attempts.last();
        let last = last.filter(|attempt| attempt.generation == callback.generation);
        let failed = match last {
            Some(attempt) => {
                let http = attempt.http_status.map(|status| format!(" {status}"));
                let (number, outcome) = (attempt.number, &attempt.outcome);
                let http = http.unwrap_or_default();
                format!("Attempt {number} failed ({outcome}{http}).")
            }
            None => "The last attempt failed.".to_owned(),
        };
        return format!("{failed} {}", next("The next one is at"));
    }
    match (callback.next_attempt_at, callback.generation) {
        (Some(_), _) => next("It was sent with a delay. The first attempt is at"),
        (None, 0) => "It waits in the queue for its first attempt.".to_owned(),
        (None, _) => "It was replayed and waits in the queue for its first new attempt.".to_owned(),
    }
}

const NOT_RECORDED: &str = "the reason is unknown, because its record was dropped";

/// Why a callback was dead-lettered, by the name of the reason.
fn dead_letter_reason(name: &str) -> String {
    let Some(reason) = reason::parse(name) else {
        return match name {
            reason::UNKNOWN => NOT_RECORDED.to_owned(),
            other => one_line(other).into_owned(),
        };
    };
    let why = match reason {
        DeadLetterReason::Exhausted => "all its attempts failed",
        DeadLetterReason::Rejected => "the target rejected the request for good",
        DeadLetterReason::Redirected => {
            "the target answered with a redirect, and redirects are not followed"
        }
        DeadLetterReason::AddressRefused => "the address guard refused the target's address",
        DeadLetterReason::Expired => "it expired before it could be delivered",
        DeadLetterReason::DeliveryLimit => {
            "it was redelivered too often without an outcome; it may crash its dispatcher"
        }
    };
    format!("{why} ({name})")
}

/// Why a callback is deferred: the name of a limit, or else of an outcome.
fn deferral_reason(name: &str) -> String {
    let limits = [
        DeferReason::InFlight,
        DeferReason::Rate,
        DeferReason::BreakerOpen,
        DeferReason::RetryAfter,
        DeferReason::Paused,
        DeferReason::AppInFlight,
    ];
    let limit = limits.into_iter().find(|limit| limit.as_str() == name);
    let why = match limit {
        Some(DeferReason::InFlight) => "its target is at its limit of concurrent calls",
        Some(DeferReason::Rate) => "its target is at its rate limit",
        Some(DeferReason::BreakerOpen) => {
            "its target fails, and its circuit breaker lets only probes through"
        }
        Some(DeferReason::RetryAfter) => "its target asked for a delay with Retry-After",
        Some(DeferReason::AppInFlight) => {
            "its app has as many calls in flight as it may while others need slots"
        }
        Some(DeferReason::Paused) => {
            "its target is paused by an operator or auto_pause; it is attempted within minutes after \
             `ringback resume`"
        }
        None => match name {
            "not_due" => "it left the queue before it was due",
            "resolver_down" => "no name server answers",
            "failed" => "an internal error prevented the call",
            "panic" => "an attempt panicked, which is a bug",
            other => return one_line(other).into_owned(),
        },
    };
    format!("{why} ({name})")
}

/// The time until `at`, for people: `in 2m 3s`, `now`.
fn from_now(at: u64, now: u64) -> String {
    let seconds = at.saturating_sub(now) / 1_000;
    if seconds == 0 {
        return "now".to_owned();
    }
    let wait = humantime::format_duration(Duration::from_secs(seconds));
    format!("in {wait}")
}

#[cfg(test)]
mod tests {
    use journal::{AttemptRecord, Origin};

    use super::*;

    const NOW: u64 = 1_763_900_000_000;

    fn callback(status: CallbackStatus) -> Callback {
        Callback {
            origin: Origin {
                request_id: uuid::Uuid::nil(),
                app_id: "demo".to_owned(),
                caller_no: None,
                callee_no: None,
                message_type: "hello".to_owned(),
                callback_url: Some("https://h.example/x?***".to_owned()),
                target: "https://h.example:443".to_owned(),
                accepted_at: NOW - 10_000,
            },
            generation: 0,
            status,
            reason: None,
            deferred_reason: None,
            next_attempt_at: None,
            cancel_requested: false,
            discarded: false,
            discarded_by_retention: false,
            updated_at: NOW - 5_000,
            unaccounted: None,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn a_failed_attempt_is_shown_with_the_time_of_the_next() {
        let mut retrying = callback(CallbackStatus::Retrying);
        retrying.attempts.push(AttemptRecord {
            generation: 0,
            number: 2,
            run: 1,
            started_at: NOW - 6_000,
            duration_ms: 12,
            outcome: "answered_5xx".to_owned(),
            http_status: Some(503),
            detail: None,
        });
        retrying.next_attempt_at = Some(NOW + 123_400);
        assert_eq!(
            explain(&retrying, NOW),
            "Attempt 2 failed (answered_5xx 503). \
             The next one is at 2025-11-23T12:15:23.400Z (in 2m 3s)."
        );
        // An attempt of an earlier generation is not the one that failed.
        retrying.generation = 1;
        assert!(explain(&retrying, NOW).starts_with("The last attempt failed."));
    }

    #[test]
    fn a_waiting_callback_says_what_it_waits_for() {
        let mut waiting = callback(CallbackStatus::Queued);
        assert!(explain(&waiting, NOW).contains("in the queue for its first attempt"));
        waiting.generation = 1;
        assert!(explain(&waiting, NOW).contains("was replayed"));
        waiting.next_attempt_at = Some(NOW + 500);
        assert!(explain(&waiting, NOW).contains("with a delay"));
        assert!(explain(&waiting, NOW).contains("(now)"));
        for (reason, words) in [
            ("resolver_down", "no name server answers (resolver_down)"),
            ("paused", "ringback resume"),
            (DeferReason::RetryAfter.as_str(), "Retry-After"),
            ("new\u{1b}\nword", "It is deferred: new\\u{1b} word."),
        ] {
            waiting.deferred_reason = Some(reason.to_owned());
            let text = explain(&waiting, NOW);
            assert!(text.contains(words), "{text}");
            assert!(text.contains("spends no attempt"), "{text}");
        }
        waiting.cancel_requested = true;
        assert!(explain(&waiting, NOW).contains("Cancellation was requested"));
    }

    #[test]
    fn an_overdue_callback_is_not_said_to_be_in_progress() {
        for (status, next_attempt_at) in [
            (CallbackStatus::Queued, None),
            (CallbackStatus::Queued, Some(NOW - 5_000)),
            (CallbackStatus::Retrying, Some(NOW - 5_000)),
        ] {
            let mut overdue = callback(status);
            overdue.next_attempt_at = next_attempt_at;
            let text = explain(&overdue, NOW);
            assert!(!text.contains("overdue"), "{text}");
            let text = explain(&overdue, NOW + 295_000);
            assert!(text.contains("12:13:15.000Z, 5m ago"), "{text}");
            assert!(text.contains("purged"), "{text}");
            assert!(!text.contains("in progress"), "{text}");
        }
    }

    #[test]
    fn an_unaccounted_callback_says_what_was_last_known_and_what_can_be_done() {
        let mut lost = callback(CallbackStatus::Unaccounted);
        lost.next_attempt_at = Some(NOW - 123_400);
        lost.unaccounted = Some(Unaccounted {
            last_status: CallbackStatus::Retrying,
            since: NOW,
        });
        lost.cancel_requested = true;
        let text = explain(&lost, NOW);
        for words in [
            "since 2025-11-23T12:13:20.000Z",
            "Last it was retrying, due at 2025-11-23T12:11:16.600Z",
            "cannot be replayed, because no body is left",
        ] {
            assert!(text.contains(words), "{text}");
        }
        assert!(!text.contains("Cancellation"), "{text}");
    }

    #[test]
    fn every_end_says_what_can_be_done() {
        for (status, words) in [
            (CallbackStatus::Delivered, "accepted it"),
            (CallbackStatus::Expired, "ringback dead-letters replay"),
            (CallbackStatus::Dead, "ringback dead-letters replay"),
            (CallbackStatus::Cancelled, "was cancelled"),
            (CallbackStatus::Delivering, "in progress"),
        ] {
            let text = explain(&callback(status), NOW);
            assert!(text.contains(words), "{status}: {text}");
        }
        let mut due = callback(CallbackStatus::Queued);
        due.next_attempt_at = Some(NOW);
        assert!(explain(&due, NOW).contains("is due"));
        let mut dead = callback(CallbackStatus::Dead);
        assert!(explain(&dead, NOW).contains("reason is unknown"));
        dead.reason = Some("redirected".to_owned());
        dead.discarded = true;
        dead.cancel_requested = true;
        let text = explain(&dead, NOW);
        assert!(text.contains("redirects are not followed"), "{text}");
        assert!(text.contains("discarded"), "{text}");
        assert!(!text.contains("Cancellation"), "{text}");
    }
}
