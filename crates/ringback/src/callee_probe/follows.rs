//! What follows from an outcome, by the retry rules of the callee, in words.

use std::time::Duration;

use delivery::retry::DecisionInput;
use delivery::retry::RetryOverrides;
use delivery::{DeadLetterReason, Outcome, Schedule, Verdict};
use humantime::format_duration;

use super::target::ProbeTarget;
use crate::lang::Lang;

/// What the gateway does after this outcome, if every attempt ends so.
pub(super) fn follows(outcome: &Outcome, target: &ProbeTarget, lang: Lang) -> String {
    by_rules(outcome, &target.schedule, &target.retry_overrides, lang)
}

fn by_rules(
    outcome: &Outcome,
    schedule: &Schedule,
    overrides: &RetryOverrides,
    lang: Lang,
) -> String {
    let verdict_of = |attempt| {
        let input = DecisionInput {
            attempt,
            schedule,
            max_attempts: None,
            expires_at_ms: None,
            now_ms: 0,
            chance: 0.0,
            deferrals: 0,
        };
        overrides.decide(outcome, &input)
    };
    match verdict_of(1) {
        Verdict::Delivered => lang.say("counts as delivered", "视为已送达").to_owned(),
        Verdict::DeadLetter(reason) => given_up(reason, lang),
        Verdict::Defer { .. } => lang
            .say(
                "is tried again, without being counted",
                "会再次尝试，不计次数",
            )
            .to_owned(),
        Verdict::Retry { after } => {
            let (mut attempt, mut total) = (1, Duration::ZERO);
            while let Verdict::Retry { after } = verdict_of(attempt) {
                total += after;
                attempt += 1;
            }
            retried(after, attempt, total, lang)
        }
    }
}

fn given_up(reason: DeadLetterReason, lang: Lang) -> String {
    let reason = reason.as_str();
    match lang {
        Lang::En => {
            format!("is given up at once ({reason}): a dead letter, which an operator can replay")
        }
        Lang::Zh => format!("立即放弃（{reason}），成为死信，可由运维重放"),
    }
}

fn retried(after: Duration, attempts: u32, total: Duration, lang: Lang) -> String {
    let (after, total) = (format_duration(after), format_duration(total));
    match lang {
        Lang::En => format!(
            "is tried again after {after}, and if it stays so {attempts} times in all within about \
             {total}; then it is a dead letter"
        ),
        Lang::Zh => {
            format!("{after} 后重试；若一直如此，约 {total} 内共尝试 {attempts} 次，之后成为死信")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_retry_rules() {
        let waits = [5, 30, 120].map(Duration::from_secs);
        let schedule = Schedule::new(waits.to_vec()).unwrap();
        let overrides = RetryOverrides::default();
        let answered = |status| Outcome::Answered {
            status,
            retry_after: (status == 429).then(|| Duration::from_secs(120)),
        };
        let say = |outcome: &Outcome| by_rules(outcome, &schedule, &overrides, Lang::En);
        assert_eq!(say(&answered(204)), "counts as delivered");
        assert_eq!(
            say(&answered(500)),
            "is tried again after 5s, and if it stays so 4 times in all within about 2m 35s; then it \
             is a dead letter"
        );
        assert!(say(&answered(429)).starts_with("is tried again after 2m,"));
        assert!(say(&answered(404)).contains("3 times in all within about 35s"));
        assert!(say(&answered(422)).starts_with("is given up at once (rejected)"));
        assert!(say(&answered(301)).starts_with("is given up at once (redirected)"));
        assert_eq!(say(&Outcome::Timeout), say(&answered(500)));
        let chinese = by_rules(&answered(500), &schedule, &overrides, Lang::Zh);
        assert_eq!(
            chinese,
            "5s 后重试；若一直如此，约 2m 35s 内共尝试 4 次，之后成为死信"
        );
    }
}
