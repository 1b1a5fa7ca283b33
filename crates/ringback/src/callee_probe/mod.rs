//! `ringback probe`: grades a callee before it goes live, by practice messages that it is sent.
//!
//! - `mod.rs`: the checks in their order
//! - `target.rs`: what is probed, from the settings and the address guard
//! - `exchange.rs`: one practice message and its answer
//! - `checks.rs`: what an answer says of a callee. Pure.
//! - `follows.rs`: what follows from an outcome, by the retry rules. Pure.
//! - `finding.rs`: findings and the grade

mod checks;
mod exchange;
mod finding;
mod follows;
mod target;

use delivery::Outcome;

use crate::lang::Lang;
use exchange::{Practice, Signed};
pub(crate) use finding::{Grade, ProbeFinding, grade, render};
pub(crate) use target::{ProbeTarget, TargetOptions};

/// How many practice messages a probe sends at most.
pub(crate) const MAX_MESSAGES: usize = 9;

/// Sends the practice messages, and says what was found. It stops early where nothing answers.
pub(crate) async fn probe(target: &ProbeTarget, lang: Lang) -> Vec<ProbeFinding> {
    let mut findings = vec![checks::address(target, lang)];
    let first = target.send(&Practice::plain("accepts")).await;
    findings.push(checks::accepts(&first, target, lang));
    findings.extend(checks::tls(&first, target, lang));
    if first.answer.is_err() {
        // The rest would find the same.
        findings.extend(outcomes(target, lang));
        return findings;
    }
    let again = target.send(&Practice::again("duplicate", &first)).await;
    findings.push(checks::duplicate(&again, target, lang));
    findings.push(checks::keep_alive(&first, &again, lang));
    if target.is_signed() {
        let forged = Practice::signed("forged", Signed::Forged);
        findings.push(checks::forged(&target.send(&forged).await, lang));
        let old = Practice::signed("old", Signed::HourAgo);
        findings.push(checks::old(&target.send(&old).await, lang));
    } else {
        findings.push(checks::unsigned(lang));
    }
    let unknown = target
        .send(&Practice::of_unknown_type("unknown_type"))
        .await;
    findings.push(checks::unknown_type(&unknown, target, lang));
    let large = target
        .send(&Practice::large("large", target.body_limit))
        .await;
    findings.push(checks::large(&large, target, lang));
    let slow = target.send(&Practice::slow("slow")).await;
    findings.push(checks::slow(&slow, target, lang));
    findings.extend(outcomes(target, lang));
    findings
}

/// What would follow if it answered otherwise.
fn outcomes(target: &ProbeTarget, lang: Lang) -> Vec<ProbeFinding> {
    let answered = |status, retry_after| Outcome::Answered {
        status,
        retry_after,
    };
    let wait = std::time::Duration::from_secs(120);
    [
        (
            lang.say("if it answers 500", "若应答 500"),
            answered(500, None),
        ),
        (
            lang.say(
                "if it answers 429 with Retry-After: 120",
                "若应答 429 且 Retry-After: 120",
            ),
            answered(429, Some(wait)),
        ),
        (
            lang.say("if it does not answer in time", "若超时未应答"),
            Outcome::Timeout,
        ),
    ]
    .map(|(name, outcome)| ProbeFinding::note(name, follows::follows(&outcome, target, lang)))
    .into()
}
