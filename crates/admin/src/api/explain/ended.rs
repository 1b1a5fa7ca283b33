//! Why a callback has ended: what spent its attempts, when it expired, who cancelled it.

use std::time::Duration;

use delivery::DeadLetterReason;
use delivery::retry::{SHORT_BUDGET, has_short_budget};
use journal::{AttemptRecord, Callback};
use runtime::text::one_line;

use super::facts::{CallbackFacts, Canceller};
use super::waiting::outcome;
use crate::api::reason;
use crate::doctor::said::{Said, say};
use crate::doctor::span::spoken;

fn not_recorded() -> Said {
    say!(
        "the reason is unknown, because its record was dropped",
        "原因未知，因为其记录已丢失"
    )
}

/// Nothing is claimed about the budget that was spent.
fn no_other_attempt() -> Said {
    say!(
        "its last attempt failed, and it may not have another",
        "其最近一次尝试失败，且不再尝试"
    )
}

/// Why it was dead-lettered, and what can be done.
pub(super) fn dead(callback: &Callback, facts: &CallbackFacts) -> Said {
    let why = match callback.reason.as_deref() {
        None | Some(reason::UNKNOWN) => not_recorded(),
        Some(name) => match reason::parse(name) {
            Some(DeadLetterReason::Exhausted) => {
                let why = exhausted(callback, facts);
                say!("{0} ({name})", "{0}（{name}）", why)
            }
            Some(reason) => {
                let why = dead_letter_reason(reason);
                say!("{0} ({name})", "{0}（{name}）", why)
            }
            None => one_line(name).into_owned().into(),
        },
    };
    let next = next_for_dead_letter(callback);
    say!(
        "It was dead-lettered: {0}. {1}",
        "已成为死信：{0}。{1}",
        why,
        next
    )
}

fn dead_letter_reason(reason: DeadLetterReason) -> Said {
    match reason {
        DeadLetterReason::Exhausted => say!("its last attempt failed", "其最近一次尝试失败"),
        DeadLetterReason::Rejected => say!(
            "the target rejected the request for good",
            "目标明确拒绝了请求"
        ),
        DeadLetterReason::Redirected => say!(
            "the target answered with a redirect, and redirects are not followed",
            "目标返回了重定向，而重定向不会被跟随"
        ),
        DeadLetterReason::AddressRefused => say!(
            "the address guard refused the target's address",
            "地址防护拒绝了目标的地址"
        ),
        DeadLetterReason::Expired => say!(
            "it expired before it could be delivered",
            "在送达之前已过期"
        ),
        DeadLetterReason::DeliveryLimit => say!(
            "it was redelivered too often without an outcome; it may crash its dispatcher",
            "它被多次重新投递而没有结果；它可能使 dispatcher 崩溃"
        ),
    }
}

/// Which budget was spent, as far as that is known.
fn exhausted(callback: &Callback, facts: &CallbackFacts) -> Said {
    let last = callback.attempts.last();
    let last = last.filter(|attempt| attempt.generation == callback.generation);
    let (Some(last), Some(limits)) = (last, facts.limits) else {
        return no_other_attempt();
    };
    let number = last.number;
    match limits.max_attempts {
        Some(max) if number >= max => say!(
            "{0} failed, and its caller allowed no more: max_attempts {max}",
            "{0}失败，且调用方不允许更多：max_attempts {max}",
            attempts(number)
        ),
        // A registered callee may have its own retry_on, and with it the whole schedule.
        _ if number > SHORT_BUDGET && is_brief(last) && callback.origin.callee_no.is_some() => {
            no_other_attempt()
        }
        _ if number >= SHORT_BUDGET && is_brief(last) => say!(
            "{0} failed, and after an outcome of this kind ({1}) it has {SHORT_BUDGET} at most, whatever \
             its schedule is",
            "{0}失败；这类结果（{1}）之后最多尝试 {SHORT_BUDGET} 次，与重试计划无关",
            attempts(number),
            outcome(&last.outcome, last.http_status, &last.cause)
        ),
        None => say!(
            "{0} of its schedule failed",
            "重试计划的{0}失败",
            attempts(number)
        ),
        Some(_) => no_other_attempt(),
    }
}

fn is_brief(attempt: &AttemptRecord) -> bool {
    has_short_budget(&attempt.outcome, attempt.http_status)
}

/// `the one attempt`, `all 9 attempts`
fn attempts(count: u32) -> Said {
    match count {
        1 => say!("the one attempt", "唯一一次尝试"),
        count => say!("all {count} attempts", "全部 {count} 次尝试"),
    }
}

/// Until when its caller wanted it, and what can be done.
pub(super) fn expired(callback: &Callback, facts: &CallbackFacts) -> Said {
    let seconds = facts.limits.and_then(|limits| limits.expire_seconds);
    let why = seconds.map_or_else(
        || say!("It expired before it could be delivered.", "在送达之前已过期。"),
        |seconds| {
            let lifetime = Duration::from_secs(seconds.into());
            let accepted_at = callback.origin.accepted_at;
            let until = accepted_at.saturating_add(contract::duration_ms(lifetime));
            say!(
                "It expired: its caller wanted it delivered within {0} (expire_seconds), by {1}, and no \
                 attempt had succeeded or could begin before that.",
                "已过期：调用方要求在 {0}（expire_seconds）内、即 {1} 之前送达，而在此之前没有尝试成功或能够开始。",
                spoken(lifetime),
                contract::rfc3339(until)
            )
        },
    );
    say!("{0} {1}", "{0}{1}", why, next_for_dead_letter(callback))
}

fn next_for_dead_letter(callback: &Callback) -> Said {
    if callback.discarded_by_retention {
        say!(
            "It was discarded because of its age (dead_letters.retention); nothing more happens.",
            "它因存放过久被丢弃（dead_letters.retention），不会再有任何处理。"
        )
    } else if callback.discarded {
        say!(
            "An operator discarded or erased it; nothing more happens.",
            "运维人员丢弃或抹除了它，不会再有任何处理。"
        )
    } else {
        say!(
            "Nothing more happens unless it is replayed (`ringback dead-letters replay ID --reason WHY`).",
            "除非重放（`ringback dead-letters replay ID --reason WHY`），否则不会再有任何处理。"
        )
    }
}

/// Who cancelled it, if somebody is known.
pub(super) fn cancelled(facts: &CallbackFacts) -> Said {
    let by = match &facts.canceller {
        None => Said::default(),
        Some(Canceller::Unknown) => say!(
            "; the audit log names no operator who did",
            "；审计日志中没有相应的运维人员"
        ),
        Some(Canceller::Operator { .. }) => {
            let by = by_operator(facts);
            say!(", {0}", "，{0}", by)
        }
    };
    say!(
        "It was cancelled before it was delivered{0}. Nothing more happens.",
        "在送达之前已取消{0}。不会再有任何处理。",
        by
    )
}

/// Its cancellation was requested while it may have been in flight.
pub(super) fn about_to_be_cancelled(facts: &CallbackFacts) -> Said {
    let by = match &facts.canceller {
        None | Some(Canceller::Unknown) => Said::default(),
        Some(Canceller::Operator { among: None, .. }) => {
            let by = by_operator(facts);
            say!(" {0}", "（{0}）", by)
        }
        Some(Canceller::Operator { .. }) => {
            let by = by_operator(facts);
            say!(", {0}", "（{0}）", by)
        }
    };
    say!(
        " Cancellation was requested{0}: it takes effect when the callback waits again, unless its attempt \
         succeeds.",
        "已请求取消{0}：再次等待时生效，除非其尝试成功。",
        by
    )
}

/// `by the operator ann@host (reason: ...)`; perhaps, if the log does not name the callback.
fn by_operator(facts: &CallbackFacts) -> Said {
    let Some(Canceller::Operator {
        name,
        reason,
        among,
    }) = &facts.canceller
    else {
        return say!("by an operator", "由运维人员");
    };
    let text = match among {
        None => say!(
            "by the operator {name} (reason: {reason})",
            "由运维人员 {name}（理由：{reason}）"
        ),
        Some(among) => say!(
            "perhaps by the operator {name} with others, by {among} (reason: {reason})",
            "可能由运维人员 {name} 与其他回调一起，按 {among}（理由：{reason}）"
        ),
    };
    text.one_line()
}

#[cfg(test)]
mod tests {
    use contract::CallbackStatus;

    use super::super::facts::CallerLimits;
    use super::super::tests::{attempt, callback};
    use super::*;
    use crate::doctor::said::Spoken as _;

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
            let text = dead(&dead_after(number, label, status), &limits(max, None)).english();
            assert!(text.contains(words), "{words}\n{text}");
        }
        // A registered callee may give such outcomes the whole schedule.
        for (number, words) in [
            (
                3,
                "all 3 attempts failed, and after an outcome of this kind",
            ),
            (5, "its last attempt failed, and it may not have another"),
        ] {
            let mut registered = dead_after(number, "answered_4xx", Some(404));
            registered.origin.callee_no = Some("EO001".to_owned());
            let text = dead(&registered, &limits(None, None)).english();
            assert!(text.contains(words), "{words}\n{text}");
        }
        let text = dead(&dead_after(5, "tls", None), &limits(None, None)).english();
        assert!(text.contains("all 5 attempts failed, and after"), "{text}");
        // Nothing is claimed that is not known: in lists, and of a message that is gone.
        let text = dead(&dead_after(3, "timeout", None), &CallbackFacts::default()).english();
        assert!(
            text.contains("its last attempt failed, and it may not have another"),
            "{text}"
        );
        let mut replayed = dead_after(9, "timeout", None);
        replayed.generation = 1;
        let text = dead(&replayed, &limits(None, None)).english();
        assert!(!text.contains("all 9"), "{text}");
    }

    #[test]
    fn an_expired_callback_says_until_when_its_caller_wanted_it() {
        let expired_at = callback(CallbackStatus::Expired);
        let text = expired(&expired_at, &limits(None, Some(90))).english();
        let words = "its caller wanted it delivered within 1m 30s (expire_seconds), by \
                     2025-11-23T12:14:40.000Z,";
        assert!(text.contains(words), "{text}");
        let text = expired(&expired_at, &CallbackFacts::default()).english();
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
            let text = cancelled(&facts).english();
            assert!(text.starts_with(words), "{text}");
        }
        let text = about_to_be_cancelled(&unknown).english();
        assert!(text.contains("requested: it takes effect"), "{text}");
        let text = about_to_be_cancelled(&operator(Some("app_id crm"))).english();
        assert!(
            text.contains("requested, perhaps by the operator ann@desk with others, by app_id crm"),
            "{text}"
        );
        let text = about_to_be_cancelled(&operator(None)).english();
        assert!(
            text.contains("requested by the operator ann@desk (reason: wrong price): it takes"),
            "{text}"
        );
    }

    #[test]
    fn what_was_erased_is_not_said_to_be_discarded_alone() {
        let mut dead = callback(CallbackStatus::Dead);
        dead.discarded = true;
        assert!(
            next_for_dead_letter(&dead)
                .english()
                .contains("discarded or erased")
        );
    }
}
