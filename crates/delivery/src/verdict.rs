//! What must happen next?

use std::time::Duration;

use crate::guard::Refusal;
use crate::outcome::Outcome;
use crate::schedule::{Schedule, jittered};

/// Outcomes that rarely heal are dead from this attempt on: two more looks, for a deployment gap
/// or a name that is still spreading.
const SHORT_BUDGET: u32 = 3;

/// The most of a `Retry-After` that is honoured: a target must not set a callback aside for days.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

/// The first wait for a fault of our own; it doubles each time.
const FIRST_PARK_SECONDS: u64 = 1;

/// The longest wait for a fault of our own.
const MOST_PARK_SECONDS: u64 = 300;

/// What must happen to a callback after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The target has it: nothing more to do.
    Delivered,
    /// Try again; the attempt is spent.
    Retry {
        /// How long to wait, jitter included: not to be shortened.
        after: Duration,
    },
    /// Give up: to the dead letters.
    Dead(Reason),
    /// Set aside for a fault of our own; the attempt is unspent.
    Park {
        /// How long to wait, jitter included.
        after: Duration,
    },
}

/// Why a callback was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Every attempt that it had is spent.
    Exhausted,
    /// The target said that this request will never do.
    Rejected,
    /// The target sent us elsewhere, and redirects are never followed.
    Redirected,
    /// The guard does not admit the target's address.
    AddressRefused,
    /// The next attempt would begin later than the caller wanted.
    Expired,
    /// The broker delivered the message too often without hearing how it ended.
    DeliveryLimit,
}

impl Reason {
    /// A name for logs, metrics, records and message headers: `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
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
pub struct Circumstances<'a> {
    /// The number of the attempt that has ended, from 1.
    pub attempt: u32,
    /// The waits that hold for this callback.
    pub schedule: &'a Schedule,
    /// How many attempts the callback may have, where that differs from the schedule's.
    pub max_attempts: Option<u32>,
    /// When the callback expires, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// The time now, in milliseconds since 1970.
    pub now_ms: u64,
    /// A number from 0 to 1, drawn anew for each verdict; it decides the jitter.
    pub chance: f64,
    /// How many times in a row this attempt was parked for a fault of our own.
    pub parked: u32,
}

/// A fault of our own that is not the resolver's is believed this many times in a row (about half an
/// hour); then the attempt is spent on the short budget.
const MOST_PARKS: u32 = 12;

/// Decides what must happen after an attempt. Total: every outcome has a verdict.
///
/// - A retry's wait is the schedule's, or `Retry-After` where that is longer (429 and 503 only, at
///   most 1 h of it), then jittered: never earlier than the target asked.
/// - A retry that would begin after the expiry is dead at once.
/// - A malformed answer and a status outside 100..=599 have the short budget.
/// - A fault of our own is parked for 1 s, doubling up to 300 s, jittered, and never beyond the
///   expiry by more than the shortest wait; it is dead only when the expiry has come.
#[must_use]
pub fn decide(outcome: &Outcome, circumstances: &Circumstances) -> Verdict {
    match outcome {
        Outcome::Answered { status, .. } => match status {
            200..=299 => Verdict::Delivered,
            300..=399 => Verdict::Dead(Reason::Redirected),
            429 | 503 => retry_answered(outcome, circumstances),
            100..=199 | 408 | 409 | 423 | 425 | 500..=599 => retry(circumstances, Duration::ZERO),
            // The same bytes would be refused again.
            400 | 405 | 406 | 410 | 411 | 413 | 414 | 415 | 422 | 431 => {
                Verdict::Dead(Reason::Rejected)
            }
            _ => retry_briefly(circumstances),
        },
        // An operator can give the callee its URL while the callback waits, or mend its body rule,
        // or a list that has not followed a move.
        Outcome::CalleeWithoutUrl
        | Outcome::AddressRefused(Refusal::NotListed)
        | Outcome::BodyRefused { .. }
        | Outcome::ConnectionRefused
        | Outcome::ConnectionReset
        | Outcome::Unreachable
        | Outcome::NameUnresolved
        | Outcome::ConnectTimeout
        | Outcome::Timeout => retry(circumstances, Duration::ZERO),
        Outcome::NameNotFound | Outcome::Tls | Outcome::MalformedAnswer => {
            retry_briefly(circumstances)
        }
        Outcome::AddressRefused(_) => Verdict::Dead(Reason::AddressRefused),
        // What goes wrong here ever again is the callback's own: it must come to an end.
        Outcome::Failed if circumstances.parked >= MOST_PARKS => retry_briefly(circumstances),
        Outcome::ResolverDown | Outcome::Failed => park(circumstances),
    }
}

/// Retries on the whole schedule; not before the target's `Retry-After`, where that holds.
pub(crate) fn retry_answered(outcome: &Outcome, circumstances: &Circumstances) -> Verdict {
    let asked = match outcome {
        Outcome::Answered {
            status: 429 | 503,
            retry_after,
        } => retry_after.unwrap_or_default().min(MOST_RETRY_AFTER),
        _ => Duration::ZERO,
    };
    retry(circumstances, asked)
}

/// Retries on the whole schedule, after `at_least`.
fn retry(circumstances: &Circumstances, at_least: Duration) -> Verdict {
    let Circumstances {
        attempt,
        schedule,
        max_attempts,
        chance,
        ..
    } = *circumstances;
    let Some(wait) = schedule.wait_after(attempt, max_attempts) else {
        return Verdict::Dead(Reason::Exhausted);
    };
    // Jitter comes last: a target that told a thousand callbacks the same time is not stampeded.
    let after = jittered(wait.max(at_least), chance);
    match time_left(circumstances) {
        Some(left) if after > left => Verdict::Dead(Reason::Expired),
        _ => Verdict::Retry { after },
    }
}

/// Retries on the short budget, and never longer than the schedule allows.
fn retry_briefly(circumstances: &Circumstances) -> Verdict {
    if circumstances.attempt >= SHORT_BUDGET {
        return Verdict::Dead(Reason::Exhausted);
    }
    retry(circumstances, Duration::ZERO)
}

/// Sets the callback aside until our own fault may have passed.
fn park(circumstances: &Circumstances) -> Verdict {
    let factor = 2_u64.checked_pow(circumstances.parked).unwrap_or(u64::MAX);
    let seconds = FIRST_PARK_SECONDS
        .saturating_mul(factor)
        .min(MOST_PARK_SECONDS);
    let after = jittered(Duration::from_secs(seconds), circumstances.chance);
    match time_left(circumstances) {
        Some(Duration::ZERO) => Verdict::Dead(Reason::Expired),
        // It comes back for a last look when it expires, not minutes later; but never in a spin.
        Some(left) => Verdict::Park {
            after: after.min(left.max(Duration::from_secs(FIRST_PARK_SECONDS))),
        },
        None => Verdict::Park { after },
    }
}

/// How long the callback has until it expires; zero when it already has.
fn time_left(circumstances: &Circumstances) -> Option<Duration> {
    let expires_at_ms = circumstances.expires_at_ms?;
    Some(Duration::from_millis(
        expires_at_ms.saturating_sub(circumstances.now_ms),
    ))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wait_tests;
