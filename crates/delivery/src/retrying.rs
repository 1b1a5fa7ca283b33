//! Which ends of an attempt does an operator want retried, or given up, for one callee?

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::outcome::Outcome;
use crate::verdict::{Circumstances, Reason, Verdict, decide, retry_answered};

/// What can be named besides statuses: outcomes that are the target's.
const NAMED: [&str; 11] = [
    "body_refused",
    "callee_without_url",
    "connect_timeout",
    "connection_refused",
    "connection_reset",
    "malformed_answer",
    "name_not_found",
    "name_unresolved",
    "timeout",
    "tls",
    "unreachable",
];

/// How an attempt may end: `503`, `4xx`, or an outcome's name (`timeout`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// This status.
    Status(u16),
    /// Any status of this hundred.
    Class(u16),
    /// Without an answer that counts, so.
    Named(&'static str),
}

/// A text that names no end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is none of: a status from 300 to 599, 3xx, 4xx, 5xx, {}", NAMED.join(", "))]
pub struct EndError {
    text: String,
}

/// The operator's exceptions from the usual rules. What is delivered, an address that the guard
/// refuses and faults of our own are not subject to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retrying {
    retry_on: Vec<End>,
    never_retry: Vec<End>,
}

impl FromStr for End {
    type Err = EndError;

    fn from_str(text: &str) -> Result<Self, EndError> {
        let refuse = || EndError {
            text: text.to_owned(),
        };
        if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().map_err(|_| refuse())?;
            return (3..=5)
                .contains(&class)
                .then_some(Self::Class(class))
                .ok_or_else(refuse);
        }
        if let Ok(status) = text.parse() {
            let fits = (300..=599).contains(&status);
            return fits.then_some(Self::Status(status)).ok_or_else(refuse);
        }
        let named = NAMED.iter().find(|named| **named == text);
        named.map(|named| Self::Named(named)).ok_or_else(refuse)
    }
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(formatter),
            Self::Class(class) => write!(formatter, "{class}xx"),
            Self::Named(name) => formatter.write_str(name),
        }
    }
}

impl End {
    /// How closely it names this outcome; 0: not at all.
    fn closeness(self, outcome: &Outcome) -> u8 {
        match (self, outcome) {
            (Self::Status(named), Outcome::Answered { status, .. }) if named == *status => 2,
            (Self::Class(class), Outcome::Answered { status, .. }) if class == status / 100 => 1,
            (Self::Named(name), outcome) if name == outcome.label() => 2,
            _ => 0,
        }
    }
}

impl Retrying {
    /// Retries on the one, gives up at once on the other.
    ///
    /// # Errors
    /// An end that stands in both.
    pub fn new(retry_on: Vec<End>, never_retry: Vec<End>) -> Result<Self, End> {
        match retry_on.iter().find(|end| never_retry.contains(end)) {
            Some(both) => Err(*both),
            None => Ok(Self {
                retry_on,
                never_retry,
            }),
        }
    }

    /// Like [`decide`], but what is named is retried on the whole schedule, or given up at once. A
    /// status wins over its hundred (`4xx`).
    #[must_use]
    pub fn decide(&self, outcome: &Outcome, circumstances: &Circumstances) -> Verdict {
        let closest = |ends: &[End]| ends.iter().map(|end| end.closeness(outcome)).max();
        let retry = closest(&self.retry_on).unwrap_or(0);
        let never = closest(&self.never_retry).unwrap_or(0);
        match (retry, never) {
            (0, 0) => decide(outcome, circumstances),
            _ if never >= retry => Verdict::Dead(Reason::Rejected),
            _ => retry_answered(outcome, circumstances),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Refusal, Schedule};
    use proptest::prelude::*;
    use std::time::Duration;

    fn circumstances(schedule: &Schedule, attempt: u32) -> Circumstances<'_> {
        Circumstances {
            attempt,
            schedule,
            max_attempts: None,
            expires_at_ms: None,
            now_ms: 0,
            chance: 0.0,
            parked: 0,
        }
    }

    fn ends(texts: &[&str]) -> Vec<End> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn retrying(retry_on: &[&str], never_retry: &[&str]) -> Retrying {
        Retrying::new(ends(retry_on), ends(never_retry)).unwrap()
    }

    fn answered(status: u16) -> Outcome {
        let retry_after = Some(Duration::from_secs(60));
        Outcome::Answered {
            status,
            retry_after,
        }
    }

    #[test]
    fn ends_are_read_as_they_are_written_and_nothing_else_is() {
        for text in [
            "300",
            "503",
            "599",
            "3xx",
            "4xx",
            "5xx",
            "timeout",
            "body_refused",
        ] {
            assert_eq!(text.parse::<End>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "200",
            "2xx",
            "600",
            "6xx",
            "xx",
            "failed",
            "address_refused",
            "Timeout",
        ] {
            let refused = text.parse::<End>().unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("{text:?} is none of: ")),
                "{refused}"
            );
        }
        let both = Retrying::new(ends(&["503", "4xx"]), ends(&["4xx"])).unwrap_err();
        assert_eq!(both, End::Class(4));
    }

    #[test]
    fn what_an_operator_names_wins_and_a_status_wins_over_its_hundred() {
        let schedule = Schedule::default();
        let rules = retrying(&["4xx", "503", "timeout"], &["404", "5xx", "tls"]);
        let verdict = |outcome| rules.decide(&outcome, &circumstances(&schedule, 5));
        let retry = |seconds| Verdict::Retry {
            after: Duration::from_secs(seconds),
        };
        let dead = Verdict::Dead(Reason::Rejected);
        for (outcome, expected) in [
            (answered(400), retry(1_800)), // Else dead at once.
            (answered(403), retry(1_800)), // Else dead after three.
            (answered(404), dead),
            (answered(500), dead),
            (answered(503), retry(1_800)),
            (Outcome::Timeout, retry(1_800)),
            (Outcome::Tls, dead),
            (answered(204), Verdict::Delivered),
            (answered(302), Verdict::Dead(Reason::Redirected)),
        ] {
            assert_eq!(verdict(outcome.clone()), expected, "{outcome:?}");
        }
        // Retry-After holds where the rules have it hold.
        let first = |status| rules.decide(&answered(status), &circumstances(&schedule, 1));
        assert_eq!((first(503), first(400)), (retry(60), retry(5)));
    }

    proptest! {
        #[test]
        fn without_exceptions_nothing_differs_and_no_exception_touches_what_is_not_the_targets(
            status in 100_u16..=599, attempt in 1_u32..12,
        ) {
            let schedule = Schedule::default();
            let circumstances = circumstances(&schedule, attempt);
            let outcome = answered(status);
            let usual = decide(&outcome, &circumstances);
            prop_assert_eq!(Retrying::default().decide(&outcome, &circumstances), usual);
            let all = retrying(&["4xx", "5xx"], &["3xx", "timeout"]);
            if status < 300 {
                prop_assert_eq!(all.decide(&outcome, &circumstances), usual);
            }
            for ours in [Outcome::Failed, Outcome::ResolverDown, Outcome::AddressRefused(Refusal::Loopback)] {
                prop_assert_eq!(all.decide(&ours, &circumstances), decide(&ours, &circumstances));
            }
        }
    }
}
