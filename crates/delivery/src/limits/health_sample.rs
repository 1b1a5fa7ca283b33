//! What an outcome says about the health of its target.

use std::sync::Arc;
use std::time::Duration;

use crate::retry::outcome::Outcome;

/// How long a `Retry-After` holds the whole target: the answer of one path must not stop calls to
/// the others for long.
const MAX_HOLD: Duration = Duration::from_secs(60);

/// A cause that is longer is cut off.
const MAX_CAUSE_BYTES: usize = 512;

/// How a call counts for the circuit breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthSignal {
    /// The target answers, whatever it says about this callback.
    Success,
    /// The target fails.
    Failure,
    /// Says nothing about the target: an internal error, or nothing was sent.
    Neutral,
}

/// What a call says about its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSample {
    /// How it counts for the circuit breaker.
    pub health: HealthSignal,
    /// The target's `Retry-After`, at most 60 s.
    pub hold: Option<Duration>,
    /// How long the call took, if one was made.
    pub duration: Option<Duration>,
    /// How it ended, by [`Outcome::label`]. `None`: it was cut off, or never made.
    pub outcome: Option<&'static str>,
    /// The target's HTTP status.
    pub http_status: Option<u16>,
    /// Why it did not deliver, in words for operators.
    pub cause: Option<Arc<str>>,
}

impl CallSample {
    /// The sample of a call with this outcome and duration.
    #[must_use]
    pub fn of(outcome: &Outcome, duration: Duration) -> Self {
        let health = health(outcome);
        let hold = match outcome {
            Outcome::Answered {
                status: 429 | 503,
                retry_after,
            } => retry_after.map(|wait| wait.min(MAX_HOLD)),
            _ => None,
        };
        Self {
            health,
            hold,
            duration: (health != HealthSignal::Neutral).then_some(duration),
            outcome: Some(outcome.label()),
            http_status: outcome.http_status(),
            cause: None,
        }
    }

    /// Adds why the call did not deliver, in words for operators; what is too long is cut off.
    #[must_use]
    pub fn with_cause(mut self, cause: Option<&str>) -> Self {
        self.cause = cause.map(|cause| {
            let end = cause.floor_char_boundary(MAX_CAUSE_BYTES);
            cause[..end].into()
        });
        self
    }

    /// A call that was cut off, or never made.
    #[must_use]
    pub const fn unknown() -> Self {
        Self {
            health: HealthSignal::Neutral,
            hold: None,
            duration: None,
            outcome: None,
            http_status: None,
            cause: None,
        }
    }
}

fn health(outcome: &Outcome) -> HealthSignal {
    match outcome {
        Outcome::Answered {
            status: 408 | 425 | 500..=599,
            ..
        }
        | Outcome::ConnectionRefused
        | Outcome::ConnectionReset
        | Outcome::Unreachable
        | Outcome::ConnectTimeout
        | Outcome::Timeout
        | Outcome::NameNotFound
        | Outcome::NameUnresolved(_)
        | Outcome::Tls
        | Outcome::MalformedAnswer(_) => HealthSignal::Failure,
        Outcome::Answered { .. }
        | Outcome::SuccessRuleFailed { .. }
        | Outcome::SuccessRuleUnreadable { .. } => HealthSignal::Success,
        Outcome::AddressRefused(_)
        | Outcome::CalleeWithoutUrl
        | Outcome::ResolverDown
        | Outcome::Failed => HealthSignal::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FailedLookup, MalformedPart, Refusal, UnreadableAnswer};

    fn answered(status: u16, retry_after: Option<u64>) -> Outcome {
        Outcome::Answered {
            status,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn every_status_is_a_success_except_those_of_a_failing_server() {
        for status in 100..=599 {
            let failed = matches!(status, 408 | 425 | 500..=599);
            let expected = if failed {
                HealthSignal::Failure
            } else {
                HealthSignal::Success
            };
            assert_eq!(health(&answered(status, None)), expected, "{status}");
        }
    }

    #[test]
    fn a_call_that_never_reached_the_target_is_neutral() {
        let table = [
            (Outcome::ConnectionRefused, HealthSignal::Failure),
            (Outcome::ConnectionReset, HealthSignal::Failure),
            (Outcome::Unreachable, HealthSignal::Failure),
            (Outcome::ConnectTimeout, HealthSignal::Failure),
            (Outcome::Timeout, HealthSignal::Failure),
            (Outcome::NameNotFound, HealthSignal::Failure),
            (
                Outcome::NameUnresolved(FailedLookup::Both),
                HealthSignal::Failure,
            ),
            (Outcome::Tls, HealthSignal::Failure),
            (
                Outcome::MalformedAnswer(MalformedPart::Other),
                HealthSignal::Failure,
            ),
            (
                Outcome::SuccessRuleUnreadable {
                    status: 200,
                    reason: UnreadableAnswer::Empty,
                },
                HealthSignal::Success,
            ),
            (
                Outcome::SuccessRuleFailed { status: 200 },
                HealthSignal::Success,
            ),
            (
                Outcome::AddressRefused(Refusal::Loopback),
                HealthSignal::Neutral,
            ),
            (Outcome::CalleeWithoutUrl, HealthSignal::Neutral),
            (Outcome::ResolverDown, HealthSignal::Neutral),
            (Outcome::Failed, HealthSignal::Neutral),
        ];
        for (outcome, expected) in table {
            let sample = CallSample::of(&outcome, Duration::from_millis(3));
            assert_eq!(sample.health, expected, "{outcome:?}");
            assert_eq!(sample.duration.is_some(), expected != HealthSignal::Neutral);
        }
    }

    #[test]
    fn retry_after_holds_the_target_for_a_minute_at_most() {
        let hold = |status, asked| CallSample::of(&answered(status, asked), Duration::ZERO).hold;
        let seconds = Duration::from_secs;
        assert_eq!(hold(429, Some(7)), Some(seconds(7)));
        assert_eq!(hold(503, Some(3_600)), Some(seconds(60)));
        assert_eq!(hold(429, None), None);
        assert_eq!(hold(500, Some(7)), None);
    }
}
