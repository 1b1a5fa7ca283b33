//! What does an outcome say about its target?

use std::time::Duration;

use crate::outcome::Outcome;

/// The most of a `Retry-After` for which a target is left alone as a whole: one path's answer must
/// not silence the others for long.
const MOST_HOLD: Duration = Duration::from_secs(60);

/// How a call ended for the target's breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A sign of life: an answer, whatever it says about this callback.
    Success,
    /// The target is not well.
    Failure,
    /// Says nothing of the target: our own fault, or nothing was sent.
    Neutral,
}

/// What a call's end says about its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// For the breaker.
    pub end: End,
    /// How long the target asked to be left alone, at most 60 s.
    pub hold: Option<Duration>,
    /// How long the call took, where it was one.
    pub took: Option<Duration>,
}

impl Ended {
    /// What the outcome of a call says that took so long.
    #[must_use]
    pub fn of(outcome: &Outcome, took: Duration) -> Self {
        let end = end(outcome);
        let hold = match outcome {
            Outcome::Answered {
                status: 429 | 503,
                retry_after,
            } => retry_after.map(|asked| asked.min(MOST_HOLD)),
            _ => None,
        };
        Self {
            end,
            hold,
            took: (end != End::Neutral).then_some(took),
        }
    }

    /// Nothing is known: the call was cut off, or never made.
    #[must_use]
    pub const fn unsaid() -> Self {
        Self {
            end: End::Neutral,
            hold: None,
            took: None,
        }
    }
}

fn end(outcome: &Outcome) -> End {
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
        | Outcome::NameUnresolved
        | Outcome::Tls
        | Outcome::MalformedAnswer => End::Failure,
        Outcome::Answered { .. } | Outcome::BodyRefused { .. } => End::Success,
        Outcome::AddressRefused(_)
        | Outcome::CalleeWithoutUrl
        | Outcome::ResolverDown
        | Outcome::Failed => End::Neutral,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Refusal;

    fn answered(status: u16, retry_after: Option<u64>) -> Outcome {
        Outcome::Answered {
            status,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn every_status_is_a_sign_of_life_but_those_of_a_server_in_trouble() {
        for status in 100..=599 {
            let failed = matches!(status, 408 | 425 | 500..=599);
            let expected = if failed { End::Failure } else { End::Success };
            assert_eq!(end(&answered(status, None)), expected, "{status}");
        }
    }

    #[test]
    fn what_never_reached_the_target_says_nothing_of_it() {
        let table = [
            (Outcome::ConnectionRefused, End::Failure),
            (Outcome::ConnectionReset, End::Failure),
            (Outcome::Unreachable, End::Failure),
            (Outcome::ConnectTimeout, End::Failure),
            (Outcome::Timeout, End::Failure),
            (Outcome::NameNotFound, End::Failure),
            (Outcome::NameUnresolved, End::Failure),
            (Outcome::Tls, End::Failure),
            (Outcome::MalformedAnswer, End::Failure),
            (Outcome::BodyRefused { status: 200 }, End::Success),
            (Outcome::AddressRefused(Refusal::Loopback), End::Neutral),
            (Outcome::CalleeWithoutUrl, End::Neutral),
            (Outcome::ResolverDown, End::Neutral),
            (Outcome::Failed, End::Neutral),
        ];
        for (outcome, expected) in table {
            let ended = Ended::of(&outcome, Duration::from_millis(3));
            assert_eq!(ended.end, expected, "{outcome:?}");
            assert_eq!(ended.took.is_some(), expected != End::Neutral);
        }
    }

    #[test]
    fn retry_after_holds_the_target_for_a_minute_at_most() {
        let hold = |status, asked| Ended::of(&answered(status, asked), Duration::ZERO).hold;
        let seconds = Duration::from_secs;
        assert_eq!(hold(429, Some(7)), Some(seconds(7)));
        assert_eq!(hold(503, Some(3_600)), Some(seconds(60)));
        assert_eq!(hold(429, None), None);
        assert_eq!(hold(500, Some(7)), None);
    }
}
