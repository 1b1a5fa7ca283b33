//! Retry rules that an operator changes for one callee.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use serde_with::SerializeDisplay;
use thiserror::Error;

use super::outcome::Outcome;
use super::verdict::{DeadLetterReason, DecisionInput, Verdict, decide, retry_answered};
use crate::text_or_number;

/// The outcomes that can be named besides statuses: those that the target causes.
const NAMED_OUTCOMES: [&str; 12] = [
    "callee_without_url",
    "connect_timeout",
    "connection_refused",
    "connection_reset",
    "malformed_answer",
    "name_not_found",
    "name_unresolved",
    "success_rule_failed",
    SUCCESS_RULE_UNREADABLE,
    "timeout",
    "tls",
    "unreachable",
];

const SUCCESS_RULE_UNREADABLE: &str = "success_rule_unreadable";

/// Matches outcomes: `503`, `4xx`, or an outcome's name (`timeout`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, SerializeDisplay)]
pub enum OutcomeMatcher {
    /// This status.
    Status(u16),
    /// Any status of this class; 4 is `4xx`.
    Class(u16),
    /// The outcome of this name.
    Named(&'static str),
}

/// A text that is not an [`OutcomeMatcher`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not an outcome: write a status from 300 to 599, 3xx, 4xx, 5xx, or one of {}",
    NAMED_OUTCOMES.join(", ")
)]
pub struct OutcomeMatcherError {
    text: String,
}

/// An operator's exceptions from the usual rules. They do not apply to deliveries, to addresses
/// that the guard refuses, or to internal errors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RetryOverrides {
    retry_on: Vec<OutcomeMatcher>,
    never_retry: Vec<OutcomeMatcher>,
    unreadable_is_success: bool,
}

impl FromStr for OutcomeMatcher {
    type Err = OutcomeMatcherError;

    fn from_str(text: &str) -> Result<Self, OutcomeMatcherError> {
        let class = |text: &str| text.parse().ok().filter(|class| (3..=5).contains(class));
        let status = |text: &str| text.parse().ok().filter(|code| (300..=599).contains(code));
        let matcher = if let Some(digit) = text.strip_suffix("xx") {
            class(digit).map(Self::Class)
        } else if let Some(status) = status(text) {
            Some(Self::Status(status))
        } else {
            let named = NAMED_OUTCOMES.into_iter().find(|name| *name == text);
            named.map(Self::Named)
        };
        matcher.ok_or_else(|| OutcomeMatcherError {
            text: text.to_owned(),
        })
    }
}

/// By way of an owned string: lists in settings give a number (`503`) as one.
/// A status may be written as a number.
impl<'de> Deserialize<'de> for OutcomeMatcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text_or_number::deserialize(deserializer)
    }
}

impl fmt::Display for OutcomeMatcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(formatter),
            Self::Class(class) => write!(formatter, "{class}xx"),
            Self::Named(name) => formatter.write_str(name),
        }
    }
}

impl OutcomeMatcher {
    /// How specifically it matches this outcome; 0: not at all.
    fn specificity(self, outcome: &Outcome) -> u8 {
        match (self, outcome) {
            (Self::Status(named), Outcome::Answered { status, .. }) if named == *status => 2,
            (Self::Class(class), Outcome::Answered { status, .. }) if class == status / 100 => 1,
            (Self::Named(name), outcome) if name == outcome.label() => 2,
            _ => 0,
        }
    }
}

impl RetryOverrides {
    /// Retries what `retry_on` matches; dead-letters at once what `never_retry` matches.
    ///
    /// # Errors
    /// A matcher that is in both lists.
    pub fn new(
        retry_on: Vec<OutcomeMatcher>,
        never_retry: Vec<OutcomeMatcher>,
    ) -> Result<Self, OutcomeMatcher> {
        match retry_on
            .iter()
            .find(|matcher| never_retry.contains(matcher))
        {
            Some(both) => Err(*both),
            None => Ok(Self {
                retry_on,
                never_retry,
                unreadable_is_success: false,
            }),
        }
    }

    /// A 2xx in which the success rule finds no value counts as delivered.
    ///
    /// # Errors
    /// The matcher of that outcome, when it is in one of the lists.
    pub fn unreadable_as_success(mut self) -> Result<Self, OutcomeMatcher> {
        let named = OutcomeMatcher::Named(SUCCESS_RULE_UNREADABLE);
        if self.retry_on.contains(&named) || self.never_retry.contains(&named) {
            return Err(named);
        }
        self.unreadable_is_success = true;
        Ok(self)
    }

    /// Like [`decide`], but matched outcomes are retried on the whole schedule, or dead-lettered at
    /// once. A status wins over its class (`4xx`).
    #[must_use]
    pub fn decide(&self, outcome: &Outcome, input: &DecisionInput) -> Verdict {
        if self.unreadable_is_success && matches!(outcome, Outcome::SuccessRuleUnreadable { .. }) {
            return Verdict::Delivered;
        }
        let best = |matchers: &[OutcomeMatcher]| {
            let specificity = |matcher: &OutcomeMatcher| matcher.specificity(outcome);
            matchers.iter().map(specificity).max().unwrap_or(0)
        };
        let (retry, never) = (best(&self.retry_on), best(&self.never_retry));
        match (retry, never) {
            (0, 0) => decide(outcome, input),
            _ if never >= retry => Verdict::DeadLetter(DeadLetterReason::Rejected),
            _ => retry_answered(outcome, input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Refusal, Schedule, UnreadableAnswer};
    use proptest::prelude::*;
    use std::time::Duration;

    fn input(schedule: &Schedule, attempt: u32) -> DecisionInput<'_> {
        DecisionInput {
            attempt,
            schedule,
            max_attempts: None,
            expires_at_ms: None,
            now_ms: 0,
            chance: 0.0,
            deferrals: 0,
        }
    }

    fn matchers(texts: &[&str]) -> Vec<OutcomeMatcher> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn overrides(retry_on: &[&str], never_retry: &[&str]) -> RetryOverrides {
        RetryOverrides::new(matchers(retry_on), matchers(never_retry)).unwrap()
    }

    fn answered(status: u16) -> Outcome {
        let retry_after = Some(Duration::from_secs(60));
        Outcome::Answered {
            status,
            retry_after,
        }
    }

    #[test]
    fn matchers_are_parsed_as_they_are_written_and_nothing_else_is() {
        for text in [
            "300",
            "503",
            "599",
            "3xx",
            "4xx",
            "5xx",
            "timeout",
            "success_rule_failed",
            "success_rule_unreadable",
        ] {
            assert_eq!(text.parse::<OutcomeMatcher>().unwrap().to_string(), text);
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
            let refused = text.parse::<OutcomeMatcher>().unwrap_err().to_string();
            assert!(
                refused.starts_with(&format!("{text:?} is not an outcome: ")),
                "{refused}"
            );
        }
        let both = RetryOverrides::new(matchers(&["503", "4xx"]), matchers(&["4xx"])).unwrap_err();
        assert_eq!(both, OutcomeMatcher::Class(4));
    }

    #[test]
    fn what_an_operator_names_wins_and_a_status_wins_over_its_class() {
        let schedule = Schedule::default();
        let rules = overrides(&["4xx", "503", "timeout"], &["404", "5xx", "tls"]);
        let verdict = |outcome| rules.decide(&outcome, &input(&schedule, 5));
        let retry = |seconds| Verdict::Retry {
            after: Duration::from_secs(seconds),
        };
        let dead = Verdict::DeadLetter(DeadLetterReason::Rejected);
        for (outcome, expected) in [
            (answered(400), retry(1_800)), // Else dead-lettered at once.
            (answered(403), retry(1_800)), // Else dead-lettered after three.
            (answered(404), dead),
            (answered(500), dead),
            (answered(503), retry(1_800)),
            (Outcome::Timeout, retry(1_800)),
            (Outcome::Tls, dead),
            (answered(204), Verdict::Delivered),
            (
                answered(302),
                Verdict::DeadLetter(DeadLetterReason::Redirected),
            ),
        ] {
            assert_eq!(verdict(outcome.clone()), expected, "{outcome:?}");
        }
        // Retry-After counts for 429 and 503 only.
        let first = |status| rules.decide(&answered(status), &input(&schedule, 1));
        assert_eq!((first(503), first(400)), (retry(60), retry(5)));
    }

    #[test]
    fn an_operator_chooses_what_becomes_of_an_answer_in_which_the_rule_finds_no_value() {
        let schedule = Schedule::default();
        let unreadable = Outcome::SuccessRuleUnreadable {
            status: 200,
            reason: UnreadableAnswer::NotJson,
        };
        let verdict = |rules: &RetryOverrides| rules.decide(&unreadable, &input(&schedule, 3));
        let named = &["success_rule_unreadable"];
        let exhausted = Verdict::DeadLetter(DeadLetterReason::Exhausted);
        assert_eq!(verdict(&RetryOverrides::default()), exhausted);
        let retried = verdict(&overrides(named, &[]));
        assert!(matches!(retried, Verdict::Retry { .. }), "{retried:?}");
        let dead = Verdict::DeadLetter(DeadLetterReason::Rejected);
        assert_eq!(verdict(&overrides(&[], named)), dead);
        let success = RetryOverrides::default().unreadable_as_success().unwrap();
        assert_eq!(verdict(&success), Verdict::Delivered);
        // Only what the rule cannot read: a value that it reads still decides.
        let failed = success.decide(
            &Outcome::SuccessRuleFailed { status: 200 },
            &input(&schedule, 1),
        );
        assert!(matches!(failed, Verdict::Retry { .. }), "{failed:?}");
        for both in [overrides(named, &[]), overrides(&[], named)] {
            let refused = both.unreadable_as_success().unwrap_err();
            assert_eq!(refused.to_string(), "success_rule_unreadable");
        }
    }

    proptest! {
        #[test]
        fn without_overrides_nothing_differs_and_no_override_applies_to_internal_errors(
            status in 100_u16..=599, attempt in 1_u32..12,
        ) {
            let schedule = Schedule::default();
            let input = input(&schedule, attempt);
            let outcome = answered(status);
            let usual = decide(&outcome, &input);
            prop_assert_eq!(RetryOverrides::default().decide(&outcome, &input), usual);
            let all = overrides(&["4xx", "5xx"], &["3xx", "timeout"]);
            if status < 300 {
                prop_assert_eq!(all.decide(&outcome, &input), usual);
            }
            for internal in [Outcome::Failed, Outcome::ResolverDown, Outcome::AddressRefused(Refusal::Loopback)] {
                prop_assert_eq!(all.decide(&internal, &input), decide(&internal, &input));
            }
        }
    }
}
