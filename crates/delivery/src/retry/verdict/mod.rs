//! The retry decision: what happens to a callback after an attempt.

use std::time::Duration;

use super::outcome::Outcome;
use super::schedule::{Schedule, jittered};
use crate::guard::refusal::Refusal;

/// The number of attempts for outcomes that rarely resolve by themselves: two retries, for a gap in
/// a deployment or a name that is still propagating.
pub const SHORT_BUDGET: u32 = 3;

/// How much of a `Retry-After` is honoured: a target must not delay a callback for days.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The first wait after an internal error; it doubles each time.
const FIRST_DEFERRAL_SECONDS: u64 = 1;

/// The longest wait after an internal error.
const MAX_DEFERRAL_SECONDS: u64 = 300;

/// After this many internal errors in a row (about half an hour) the attempt is counted, on the
/// short budget. Failures of the resolver are not limited.
const MAX_INTERNAL_ERRORS: u32 = 12;

/// What happens to a callback after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The target accepted it.
    Delivered,
    /// It is retried; the attempt is counted.
    Retry {
        /// How long to wait, jitter included. It must not be shortened.
        after: Duration,
    },
    /// It is dead-lettered.
    DeadLetter(DeadLetterReason),
    /// It is deferred because of an internal error; the attempt is not counted.
    Defer {
        /// How long to wait, jitter included.
        after: Duration,
    },
}

/// Why a callback is dead-lettered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeadLetterReason {
    /// All attempts have failed.
    Exhausted,
    /// The target will never accept this request.
    Rejected,
    /// The target answered with a redirect, and redirects are never followed.
    Redirected,
    /// The address guard refused the target's address.
    AddressRefused,
    /// The next attempt would begin after the caller's expiry.
    Expired,
    /// The broker delivered the message too often without a settlement.
    DeliveryLimit,
}

impl DeadLetterReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Exhausted,
        Self::Rejected,
        Self::Redirected,
        Self::AddressRefused,
        Self::Expired,
        Self::DeliveryLimit,
    ];

    /// A name for logs, metrics, records and message headers: `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Rejected => "rejected",
            Self::Redirected => "redirected",
            Self::AddressRefused => "address_refused",
            Self::Expired => "expired",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

/// What a verdict depends on besides the outcome.
#[derive(Debug, Clone, Copy)]
pub struct DecisionInput<'a> {
    /// The number of the attempt that has ended, from 1.
    pub attempt: u32,
    /// The callback's schedule.
    pub schedule: &'a Schedule,
    /// How many attempts the callback may have, if that differs from the schedule's.
    pub max_attempts: Option<u32>,
    /// When the callback expires, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
    /// The current time, in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// A random number from 0 to 1, new for each verdict; it decides the jitter.
    pub chance: f64,
    /// How many times in a row this attempt was deferred.
    pub deferrals: u32,
}

/// Decides what happens after an attempt. Total: every outcome has a verdict.
///
/// - A retry waits as the schedule says, or as long as `Retry-After` if that is longer (429 and
///   503 only, at most 1 h of it), plus jitter: never less than the target requested.
/// - A callback whose retry would begin after its expiry is dead-lettered at once.
/// - A malformed answer, a 2xx in which the success rule finds no value, and a status outside
///   100..=599 have the short budget.
/// - An internal error defers the callback for 1 s, doubling up to 300 s, with jitter, and not
///   beyond the expiry by more than the shortest wait; it is dead-lettered only when it has
///   expired.
#[must_use]
pub fn decide(outcome: &Outcome, input: &DecisionInput) -> Verdict {
    match outcome {
        Outcome::Answered { status, .. } => match status {
            200..=299 => Verdict::Delivered,
            300..=399 => Verdict::DeadLetter(DeadLetterReason::Redirected),
            429 | 503 => retry_answered(outcome, input),
            100..=199 | 408 | 409 | 423 | 425 | 500..=599 => retry(input, Duration::ZERO),
            // The same bytes would be rejected again.
            400 | 405 | 406 | 410 | 411 | 413 | 414 | 415 | 422 | 431 => {
                Verdict::DeadLetter(DeadLetterReason::Rejected)
            }
            _ => retry_briefly(input),
        },
        // While the callback waits, an operator can configure the callee's URL, fix its success
        // rule, or update an allowlist.
        Outcome::CalleeWithoutUrl
        | Outcome::AddressRefused(Refusal::NotListed)
        | Outcome::SuccessRuleFailed { .. }
        | Outcome::ConnectionRefused
        | Outcome::ConnectionReset
        | Outcome::Unreachable
        | Outcome::NameUnresolved(_)
        | Outcome::ConnectTimeout
        | Outcome::Timeout => retry(input, Duration::ZERO),
        // A 2xx whose body says nothing is likely an acceptance: few repeats.
        Outcome::NameNotFound
        | Outcome::Tls
        | Outcome::MalformedAnswer(_)
        | Outcome::SuccessRuleUnreadable { .. } => retry_briefly(input),
        Outcome::AddressRefused(_) => Verdict::DeadLetter(DeadLetterReason::AddressRefused),
        // An error that never ends is caused by the callback itself, so attempts must run out.
        Outcome::Failed if input.deferrals >= MAX_INTERNAL_ERRORS => retry_briefly(input),
        Outcome::ResolverDown | Outcome::Failed => defer(input),
    }
}

/// Whether [`decide`] gives an outcome of this [label](Outcome::label) and HTTP status the short budget
/// ([`SHORT_BUDGET`]): for those who have its record alone.
#[must_use]
pub fn has_short_budget(label: &str, http_status: Option<u16>) -> bool {
    match http_status {
        Some(status) if label.starts_with("answered_") => is_tried_briefly(status),
        _ => matches!(
            label,
            "name_not_found" | "tls" | "malformed_answer" | "success_rule_unreadable" | "failed"
        ),
    }
}

/// Whether an answer of this status rarely turns into another by itself.
const fn is_tried_briefly(status: u16) -> bool {
    !matches!(
        status,
        100..=399 | 500..=599 | 400 | 405 | 406 | 408..=411 | 413..=415 | 422 | 423 | 425 | 429 | 431
    )
}

/// Retries on the whole schedule, and not before the target's `Retry-After`, if that applies.
pub(super) fn retry_answered(outcome: &Outcome, input: &DecisionInput) -> Verdict {
    let at_least = match outcome {
        Outcome::Answered {
            status: 429 | 503,
            retry_after,
        } => retry_after.unwrap_or_default().min(MAX_RETRY_AFTER),
        _ => Duration::ZERO,
    };
    retry(input, at_least)
}

/// Retries on the whole schedule, after `at_least`.
fn retry(input: &DecisionInput, at_least: Duration) -> Verdict {
    let DecisionInput {
        attempt,
        schedule,
        max_attempts,
        chance,
        ..
    } = *input;
    let Some(wait) = schedule.wait_after(attempt, max_attempts) else {
        return Verdict::DeadLetter(DeadLetterReason::Exhausted);
    };
    // Jitter is added last: callbacks that were given the same `Retry-After` must not return
    // together.
    let after = jittered(wait.max(at_least), chance);
    match time_left(input) {
        Some(left) if after > left => Verdict::DeadLetter(DeadLetterReason::Expired),
        _ => Verdict::Retry { after },
    }
}

/// Retries on the short budget, and not more often than the schedule allows.
fn retry_briefly(input: &DecisionInput) -> Verdict {
    if input.attempt >= SHORT_BUDGET {
        return Verdict::DeadLetter(DeadLetterReason::Exhausted);
    }
    retry(input, Duration::ZERO)
}

/// Defers the callback until the internal error may be over.
fn defer(input: &DecisionInput) -> Verdict {
    let factor = 2_u64.checked_pow(input.deferrals).unwrap_or(u64::MAX);
    let seconds = FIRST_DEFERRAL_SECONDS
        .saturating_mul(factor)
        .min(MAX_DEFERRAL_SECONDS);
    let after = jittered(Duration::from_secs(seconds), input.chance);
    match time_left(input) {
        Some(Duration::ZERO) => Verdict::DeadLetter(DeadLetterReason::Expired),
        // It returns when it expires, not minutes later; but never in a tight loop.
        Some(left) => Verdict::Defer {
            after: after.min(left.max(Duration::from_secs(FIRST_DEFERRAL_SECONDS))),
        },
        None => Verdict::Defer { after },
    }
}

/// How long the callback has until it expires; zero if it has expired.
fn time_left(input: &DecisionInput) -> Option<Duration> {
    let expires_at_ms = input.expires_at_ms?;
    Some(Duration::from_millis(
        expires_at_ms.saturating_sub(input.now_ms),
    ))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wait_tests;
