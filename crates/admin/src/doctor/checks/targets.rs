//! Targets that fail, and what is paused.

use std::time::Duration;

use crate::doctor::breaker_words;
use crate::doctor::facts::{BreakerFacts, PauseFacts};
use crate::doctor::finding::Finding;
use crate::doctor::said::{Said, say};

use super::units::duration;

/// How many are named.
const MAX_NAMED: usize = 5;
/// A pause that is older may have been forgotten.
const OLD_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Circuit breakers that are not closed.
pub(super) fn breakers(breakers: &[BreakerFacts]) -> Finding {
    const CHECK: &str = "targets";
    if breakers.is_empty() {
        return Finding::ok(
            CHECK,
            say!("no circuit breaker is open", "没有打开的熔断器"),
        );
    }
    let named = breakers.iter().map(|breaker| {
        let BreakerFacts {
            name,
            state,
            reason,
            probe_in,
            apps,
            app_ids,
        } = breaker;
        let reason = reason.as_ref().map(|reason| {
            let words = breaker_words::reason(reason);
            say!(": {0}", "：{0}", words)
        });
        let reason = reason.unwrap_or_default();
        let probe = probe_in.map(|wait| say!(", probes in {0}", "，{0}后探测", duration(wait)));
        let probe = probe.unwrap_or_default();
        let state = match state.as_str() {
            "open" => say!("open", "打开"),
            "half open" => say!("half open", "半开"),
            other => other.into(),
        };
        say!(
            "{name} ({0}{1}{2}{3})",
            "{name}（{0}{1}{2}{3}）",
            state,
            breaker_words::whose(*apps, app_ids),
            reason,
            probe
        )
    });
    let named = list(named);
    Finding::warning(CHECK, say!("failing: {0}", "失败的目标：{0}", named))
        .next(say!(
            "`ringback targets` shows the last error; ask their owners",
            "`ringback targets` 可查看最近的错误；请联系其负责人"
        ))
        .runbook("one-bad-target")
}

/// The first ones, and how many more there are.
fn list(mut names: impl Iterator<Item = Said>) -> Said {
    let named: Vec<Said> = names.by_ref().take(MAX_NAMED).collect();
    let named = Said::join(&named, ", ", "、");
    match names.count() {
        0 => named,
        more => say!("{0}, and {1} more", "{0}，以及其他 {1} 个", named, more),
    }
}

/// What is paused, by whom and why.
pub(super) fn pauses(pauses: &Result<Vec<PauseFacts>, String>, now: u64) -> Finding {
    const CHECK: &str = "pauses";
    let pauses = match pauses {
        Err(reason) => {
            return Finding::unknown(
                CHECK,
                say!(
                    "the journal does not tell: {reason}",
                    "无法从回调记录库得知：{reason}"
                ),
            );
        }
        Ok(pauses) if pauses.is_empty() => {
            return Finding::ok(CHECK, say!("nothing is paused", "没有生效中的暂停"));
        }
        Ok(pauses) => pauses,
    };
    let age = |pause: &PauseFacts| Duration::from_millis(now.saturating_sub(pause.since));
    let named = pauses.iter().map(|pause| {
        let PauseFacts {
            name, by, reason, ..
        } = pause;
        say!(
            "{name} for {0} by {by}: {reason}",
            "{name}（{by}，已 {0}：{reason}）",
            duration(age(pause))
        )
    });
    let named = list(named);
    let sentence = say!("paused: {0}", "已暂停：{0}", named);
    let found = match pauses.iter().any(|pause| age(pause) > OLD_PAUSE) {
        true => Finding::warning(CHECK, sentence)
            .next(say!(
                "`ringback resume` ends a pause that was forgotten",
                "`ringback resume` 可结束被遗忘的暂停"
            ))
            .runbook("pause-and-resume"),
        false => Finding::ok(CHECK, sentence),
    };
    let oldest = pauses.iter().map(|pause| pause.since).min();
    found.since(oldest.unwrap_or(now))
}
