//! Why a callback has ended: what spent its attempts, when it expired, who cancelled it.

use std::time::Duration;

use delivery::DeadLetterReason;
use delivery::retry::{SHORT_BUDGET, has_short_budget};
use journal::{AttemptRecord, Callback};
use runtime::text::one_line;

use super::facts::{CallbackFacts, Canceller};
use super::waiting::outcome;
use crate::api::reason;

const NOT_RECORDED: &str = "the reason is unknown, because its record was dropped";
/// Nothing is claimed about the budget that was spent.
const NO_OTHER_ATTEMPT: &str = "its last attempt failed, and it may not have another";

/// Why it was dead-lettered, and what can be done.
pub(super) fn dead(callback: &Callback, facts: &CallbackFacts) -> String {
    let why = match callback.reason.as_deref() {
        None | Some(reason::UNKNOWN) => NOT_RECORDED.to_owned(),
        Some(name) => match reason::parse(name) {
            Some(DeadLetterReason::Exhausted) => format!("{} ({name})", exhausted(callback, facts)),
            Some(reason) => format!("{} ({name})", dead_letter_reason(reason)),
            None => one_line(name).into_owned(),
        },
    };
    let next = next_for_dead_letter(callback);
    format!("It was dead-lettered: {why}. {next}")
}

fn dead_letter_reason(reason: DeadLetterReason) -> &'static str {
    match reason {
        DeadLetterReason::Exhausted => "its last attempt failed",
        DeadLetterReason::Rejected => "the target rejected the request for good",
        DeadLetterReason::Redirected => {
            "the target answered with a redirect, and redirects are not followed"
        }
        DeadLetterReason::AddressRefused => "the address guard refused the target's address",
        DeadLetterReason::Expired => "it expired before it could be delivered",
        DeadLetterReason::DeliveryLimit => {
            "it was redelivered too often without an outcome; it may crash its dispatcher"
        }
    }
}

/// Which budget was spent, as far as that is known.
fn exhausted(callback: &Callback, facts: &CallbackFacts) -> String {
    let last = callback.attempts.last();
    let last = last.filter(|attempt| attempt.generation == callback.generation);
    let (Some(last), Some(limits)) = (last, facts.limits) else {
        return NO_OTHER_ATTEMPT.to_owned();
    };
    let number = last.number;
    match limits.max_attempts {
        Some(max) if number >= max => format!(
            "{} failed, and its caller allowed no more: max_attempts {max}",
            attempts(number)
        ),
        // A registered callee may have its own retry_on, and with it the whole schedule.
        _ if number > SHORT_BUDGET && is_brief(last) && callback.origin.callee_no.is_some() => {
            NO_OTHER_ATTEMPT.to_owned()
        }
        _ if number >= SHORT_BUDGET && is_brief(last) => format!(
            "{} failed, and after an outcome of this kind ({}) it has {SHORT_BUDGET} at most, whatever \
             its schedule is",
            attempts(number),
            outcome(&last.outcome, last.http_status, &last.cause)
        ),
        None => format!("{} of its schedule failed", attempts(number)),
        Some(_) => NO_OTHER_ATTEMPT.to_owned(),
    }
}

fn is_brief(attempt: &AttemptRecord) -> bool {
    has_short_budget(&attempt.outcome, attempt.http_status)
}

/// `the one attempt`, `all 9 attempts`
fn attempts(count: u32) -> String {
    match count {
        1 => "the one attempt".to_owned(),
        count => format!("all {count} attempts"),
    }
}

/// Until when its caller wanted it, and what can be done.
pub(super) fn expired(callback: &Callback, facts: &CallbackFacts) -> String {
    let seconds = facts.limits.and_then(|limits| limits.expire_seconds);
    let why = seconds.map_or_else(
        || "It expired before it could be delivered.".to_owned(),
        |seconds| {
            let lifetime = Duration::from_secs(seconds.into());
            let accepted_at = callback.origin.accepted_at;
            let until = accepted_at.saturating_add(contract::duration_ms(lifetime));
            format!(
                "It expired: its caller wanted it delivered within {} (expire_seconds), by {}, and no \
                 attempt had succeeded or could begin before that.",
                humantime::format_duration(lifetime),
                contract::rfc3339(until)
            )
        },
    );
    format!("{why} {}", next_for_dead_letter(callback))
}

fn next_for_dead_letter(callback: &Callback) -> &'static str {
    if callback.discarded_by_retention {
        "It was discarded because of its age (dead_letters.retention); nothing more happens."
    } else if callback.discarded {
        "An operator discarded or erased it; nothing more happens."
    } else {
        "Nothing more happens unless it is replayed (`ringback dead-letters replay ID --reason WHY`)."
    }
}

/// Who cancelled it, if somebody is known.
pub(super) fn cancelled(facts: &CallbackFacts) -> String {
    let by = match &facts.canceller {
        None => String::new(),
        Some(Canceller::Unknown) => "; the audit log names no operator who did".to_owned(),
        Some(Canceller::Operator { .. }) => format!(", {}", by_operator(facts)),
    };
    format!("It was cancelled before it was delivered{by}. Nothing more happens.")
}

/// Its cancellation was requested while it may have been in flight.
pub(super) fn about_to_be_cancelled(facts: &CallbackFacts) -> String {
    let by = match &facts.canceller {
        None | Some(Canceller::Unknown) => String::new(),
        Some(Canceller::Operator { among: None, .. }) => format!(" {}", by_operator(facts)),
        Some(Canceller::Operator { .. }) => format!(", {}", by_operator(facts)),
    };
    format!(
        " Cancellation was requested{by}: it takes effect when the callback waits again, unless its attempt \
         succeeds."
    )
}

/// `by the operator ann@host (reason: ...)`; perhaps, if the log does not name the callback.
fn by_operator(facts: &CallbackFacts) -> String {
    let Some(Canceller::Operator {
        name,
        reason,
        among,
    }) = &facts.canceller
    else {
        return "by an operator".to_owned();
    };
    let text = match among {
        None => format!("by the operator {name} (reason: {reason})"),
        Some(among) => {
            format!("perhaps by the operator {name} with others, by {among} (reason: {reason})")
        }
    };
    one_line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use contract::CallbackStatus;

    use super::super::facts::CallerLimits;
    use super::super::tests::{attempt, callback};
    use super::*;

    fn limits(max_attempts: Option<u32>, expire_seconds: Option<u32>) -> CallbackFacts {
        CallbackFacts {
            limits: Some(CallerLimits {
                max_attempts,
                expire_seconds,
            }),
            ..CallbackFacts::default()
        }
    }

    fn dead_after(number: u32, label: &str, http_status: Option<u16>) -> Callback {
        let mut dead = callback(CallbackStatus::Dead);
        dead.reason = Some("exhausted".to_owned());
        dead.attempts = vec![AttemptRecord {
            outcome: label.to_owned(),
            http_status,
            ..attempt(number)
        }];
        dead
    }

    #[test]
    fn an_exhausted_callback_says_which_budget_was_spent() {
        for (max, number, label, status, words) in [
            (
                None,
                9,
                "answered_5xx",
                Some(503),
                "all 9 attempts of its schedule failed (exhausted).",
            ),
            (
                None,
                3,
                "answered_4xx",
                Some(404),
                "all 3 attempts failed, and after an outcome of this kind (answered_4xx 404) it has 3 at \
                 most, whatever its schedule is (exhausted).",
            ),
            (
                None,
                3,
                "tls",
                None,
                "after an outcome of this kind (tls) it has 3 at most",
            ),
            (
                None,
                3,
                "timeout",
                None,
                "all 3 attempts of its schedule failed",
            ),
            (
                Some(2),
                2,
                "answered_4xx",
                Some(404),
                "all 2 attempts failed, and its caller allowed no more: max_attempts 2 (exhausted).",
            ),
            (
                Some(1),
                1,
                "timeout",
                None,
                "the one attempt failed, and its caller allowed no more",
            ),
            (Some(5), 3, "answered_4xx", Some(404), "it has 3 at most"),
            (
                Some(5),
                3,
                "timeout",
                None,
                "its last attempt failed, and it may not have another",
            ),
        ] {
            let text = dead(&dead_after(number, label, status), &limits(max, None));
            assert!(text.contains(words), "{words}\n{text}");
        }
        // A registered callee may give such outcomes the whole schedule.
        for (number, words) in [
            (
                3,
                "all 3 attempts failed, and after an outcome of this kind",
            ),
            (5, NO_OTHER_ATTEMPT),
        ] {
            let mut registered = dead_after(number, "answered_4xx", Some(404));
            registered.origin.callee_no = Some("EO001".to_owned());
            let text = dead(&registered, &limits(None, None));
            assert!(text.contains(words), "{words}\n{text}");
        }
        let text = dead(&dead_after(5, "tls", None), &limits(None, None));
        assert!(text.contains("all 5 attempts failed, and after"), "{text}");
        // Nothing is claimed that is not known: in lists, and of a message that is gone.
        let text = dead(&dead_after(3, "timeout", None), &CallbackFacts::default());
        assert!(
            text.contains("its last attempt failed, and it may not have another"),
            "{text}"
        );
        let mut replayed = dead_after(9, "timeout", None);
        replayed.generation = 1;
        let text = dead(&replayed, &limits(None, None));
        assert!(!text.contains("all 9"), "{text}");
    }

    #[test]
    fn an_expired_callback_says_until_when_its_caller_wanted_it() {
        let expired_at = callback(CallbackStatus::Expired);
        let text = expired(&expired_at, &limits(None, Some(90)));
        let words = "its caller wanted it delivered within 1m 30s (expire_seconds), by \
                     2025-11-23T12:14:40.000Z,";
        assert!(text.contains(words), "{text}");
        let text = expired(&expired_at, &CallbackFacts::default());
        assert!(
            text.starts_with("It expired before it could be delivered. Nothing more"),
            "{text}"
        );
    }

    #[test]
    fn a_cancelled_callback_says_by_whom() {
        let operator = |among: Option<&str>| CallbackFacts {
            canceller: Some(Canceller::Operator {
                name: "ann@desk".to_owned(),
                reason: "wrong price".to_owned(),
                among: among.map(str::to_owned),
            }),
            ..CallbackFacts::default()
        };
        let unknown = CallbackFacts {
            canceller: Some(Canceller::Unknown),
            ..CallbackFacts::default()
        };
        for (facts, words) in [
            (
                operator(None),
                "It was cancelled before it was delivered, by the operator ann@desk (reason: \
                 wrong price). Nothing more happens.",
            ),
            (
                operator(Some("app_id crm")),
                "It was cancelled before it was delivered, perhaps by the operator ann@desk with others, \
                 by app_id crm (reason: wrong price). Nothing",
            ),
            (
                unknown.clone(),
                "It was cancelled before it was delivered; the audit log names no operator who did. \
                 Nothing more happens.",
            ),
            (
                CallbackFacts::default(),
                "It was cancelled before it was delivered. Nothing more happens.",
            ),
        ] {
            let text = cancelled(&facts);
            assert!(text.starts_with(words), "{text}");
        }
        let text = about_to_be_cancelled(&unknown);
        assert!(text.contains("requested: it takes effect"), "{text}");
        let text = about_to_be_cancelled(&operator(Some("app_id crm")));
        assert!(
            text.contains("requested, perhaps by the operator ann@desk with others, by app_id crm"),
            "{text}"
        );
        let text = about_to_be_cancelled(&operator(None));
        assert!(
            text.contains("requested by the operator ann@desk (reason: wrong price): it takes"),
            "{text}"
        );
    }

    #[test]
    fn what_was_erased_is_not_said_to_be_discarded_alone() {
        let mut dead = callback(CallbackStatus::Dead);
        dead.discarded = true;
        assert!(next_for_dead_letter(&dead).contains("discarded or erased"));
    }
}
