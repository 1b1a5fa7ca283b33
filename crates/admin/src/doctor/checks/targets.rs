//! Targets that fail, and what is paused.

use std::time::Duration;

use crate::doctor::facts::{BreakerFacts, PauseFacts};
use crate::doctor::finding::Finding;

use super::units::duration;

/// How many are named.
const MAX_NAMED: usize = 5;
/// A pause that is older may have been forgotten.
const OLD_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Circuit breakers that are not closed.
pub(super) fn breakers(breakers: &[BreakerFacts]) -> Finding {
    const CHECK: &str = "targets";
    if breakers.is_empty() {
        return Finding::ok(CHECK, "no circuit breaker is open");
    }
    let named = breakers.iter().map(|breaker| {
        let BreakerFacts {
            name,
            state,
            reason,
            probe_in,
        } = breaker;
        let reason = reason.as_ref().map(|reason| format!(": {reason}"));
        let probe = probe_in.map(|wait| format!(", probes in {}", duration(wait)));
        format!(
            "{name} ({state}{}{})",
            reason.unwrap_or_default(),
            probe.unwrap_or_default()
        )
    });
    Finding::warning(CHECK, format!("failing: {}", list(named)))
        .next("`ringback targets` shows the last error; ask their owners")
        .runbook("one-bad-target")
}

/// The first ones, and how many more there are.
fn list(mut names: impl Iterator<Item = String>) -> String {
    let named: Vec<String> = names.by_ref().take(MAX_NAMED).collect();
    match names.count() {
        0 => named.join(", "),
        more => format!("{}, and {more} more", named.join(", ")),
    }
}

/// What is paused, by whom and why.
pub(super) fn pauses(pauses: &Result<Vec<PauseFacts>, String>, now: u64) -> Finding {
    const CHECK: &str = "pauses";
    let pauses = match pauses {
        Err(reason) => {
            return Finding::unknown(CHECK, format!("the journal does not tell: {reason}"));
        }
        Ok(pauses) if pauses.is_empty() => return Finding::ok(CHECK, "nothing is paused"),
        Ok(pauses) => pauses,
    };
    let age = |pause: &PauseFacts| Duration::from_millis(now.saturating_sub(pause.since));
    let named = pauses.iter().map(|pause| {
        let PauseFacts {
            name, by, reason, ..
        } = pause;
        format!("{name} for {} by {by}: {reason}", duration(age(pause)))
    });
    let sentence = format!("paused: {}", list(named));
    match pauses.iter().any(|pause| age(pause) > OLD_PAUSE) {
        true => Finding::warning(CHECK, sentence)
            .next("`ringback resume` ends a pause that was forgotten")
            .runbook("pause-and-resume"),
        false => Finding::ok(CHECK, sentence),
    }
}
