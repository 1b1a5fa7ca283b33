//! How an attempt ended.

use std::time::Duration;

use super::cause::{FailedLookup, MalformedPart, UnreadableAnswer};
use crate::guard::refusal::Refusal;

/// How an attempt ended. [`crate::decide`] decides what happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The target answered.
    Answered {
        /// Its HTTP status.
        status: u16,
        /// Its `Retry-After`, as [`crate::retry_after`] parses it.
        retry_after: Option<Duration>,
    },
    /// The target answered 2xx, but the value in its body does not satisfy the callee's success rule.
    SuccessRuleFailed {
        /// Its HTTP status.
        status: u16,
    },
    /// The target answered 2xx, but the callee's success rule finds no value in its body. Whether the
    /// target accepted the callback is not known.
    SuccessRuleUnreadable {
        /// Its HTTP status.
        status: u16,
        /// Why no value is found.
        reason: UnreadableAnswer,
    },
    /// The target's host answers, but nothing listens on the port.
    ConnectionRefused,
    /// The connection was lost before the answer was complete.
    ConnectionReset,
    /// No route to the target.
    Unreachable,
    /// The connection was not established within its deadline.
    ConnectTimeout,
    /// The connection was established, but no answer came within the deadline.
    Timeout,
    /// The target's name does not exist, or has no address.
    NameNotFound,
    /// The target's name could not be resolved, although the resolver works for others.
    NameUnresolved(FailedLookup),
    /// No trusted TLS connection could be established.
    Tls,
    /// The answer is not HTTP.
    MalformedAnswer(MalformedPart),
    /// The address guard refused an address of the target; nothing was sent.
    AddressRefused(Refusal),
    /// The registry has no URL for the callee; nothing was sent.
    CalleeWithoutUrl,
    /// The resolver does not answer: an internal error, nothing was sent.
    ResolverDown,
    /// Another internal error; nothing was sent.
    Failed,
}

/// The [label](Outcome::label) of every outcome.
pub const OUTCOME_LABELS: [&str; 21] = [
    "delivered",
    "answered_1xx",
    "answered_3xx",
    "answered_4xx",
    "answered_5xx",
    "answered_other",
    "success_rule_failed",
    "success_rule_unreadable",
    "connection_refused",
    "connection_reset",
    "unreachable",
    "connect_timeout",
    "timeout",
    "name_not_found",
    "name_unresolved",
    "tls",
    "malformed_answer",
    "address_refused",
    "callee_without_url",
    "resolver_down",
    "failed",
];

impl Outcome {
    /// A name for logs, metrics and records: `snake_case`, from a short closed list.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Answered { status, .. } => match status {
                100..=199 => "answered_1xx",
                200..=299 => "delivered",
                300..=399 => "answered_3xx",
                400..=499 => "answered_4xx",
                500..=599 => "answered_5xx",
                _ => "answered_other",
            },
            Self::SuccessRuleFailed { .. } => "success_rule_failed",
            Self::SuccessRuleUnreadable { .. } => "success_rule_unreadable",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionReset => "connection_reset",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::Timeout => "timeout",
            Self::NameNotFound => "name_not_found",
            Self::NameUnresolved(_) => "name_unresolved",
            Self::Tls => "tls",
            Self::MalformedAnswer(_) => "malformed_answer",
            Self::AddressRefused(_) => "address_refused",
            Self::CalleeWithoutUrl => "callee_without_url",
            Self::ResolverDown => "resolver_down",
            Self::Failed => "failed",
        }
    }

    /// The HTTP status, if the target answered.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Answered { status, .. }
            | Self::SuccessRuleFailed { status }
            | Self::SuccessRuleUnreadable { status, .. } => Some(*status),
            Self::ConnectionRefused
            | Self::ConnectionReset
            | Self::Unreachable
            | Self::ConnectTimeout
            | Self::Timeout
            | Self::NameNotFound
            | Self::NameUnresolved(_)
            | Self::Tls
            | Self::MalformedAnswer(_)
            | Self::AddressRefused(_)
            | Self::CalleeWithoutUrl
            | Self::ResolverDown
            | Self::Failed => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_answer_is_labelled_by_its_class_and_keeps_its_status() {
        let table = [
            (0, "answered_other"),
            (99, "answered_other"),
            (100, "answered_1xx"),
            (199, "answered_1xx"),
            (200, "delivered"),
            (299, "delivered"),
            (300, "answered_3xx"),
            (399, "answered_3xx"),
            (400, "answered_4xx"),
            (499, "answered_4xx"),
            (500, "answered_5xx"),
            (599, "answered_5xx"),
            (600, "answered_other"),
            (u16::MAX, "answered_other"),
        ];
        for (status, label) in table {
            let outcome = Outcome::Answered {
                status,
                retry_after: None,
            };
            assert_eq!(outcome.label(), label, "{status}");
            assert_eq!(outcome.http_status(), Some(status));
            assert!(OUTCOME_LABELS.contains(&label), "{label}");
        }
    }

    #[test]
    fn an_answer_that_a_success_rule_judged_keeps_its_status() {
        let failed = Outcome::SuccessRuleFailed { status: 200 };
        let unreadable = Outcome::SuccessRuleUnreadable {
            status: 201,
            reason: UnreadableAnswer::Empty,
        };
        assert_eq!(failed.label(), "success_rule_failed");
        assert_eq!(unreadable.label(), "success_rule_unreadable");
        assert_eq!(failed.http_status(), Some(200));
        assert_eq!(unreadable.http_status(), Some(201));
    }

    #[test]
    fn an_outcome_without_an_answer_has_its_own_label_and_no_status() {
        let outcomes = [
            Outcome::ConnectionRefused,
            Outcome::ConnectionReset,
            Outcome::Unreachable,
            Outcome::ConnectTimeout,
            Outcome::Timeout,
            Outcome::NameNotFound,
            Outcome::NameUnresolved(FailedLookup::Both),
            Outcome::Tls,
            Outcome::MalformedAnswer(MalformedPart::Other),
            Outcome::AddressRefused(Refusal::Loopback),
            Outcome::CalleeWithoutUrl,
            Outcome::ResolverDown,
            Outcome::Failed,
        ];
        let labels: BTreeSet<_> = outcomes.iter().map(Outcome::label).collect();
        assert_eq!(labels.len(), outcomes.len());
        let known = labels.iter().filter(|label| OUTCOME_LABELS.contains(label));
        assert_eq!(known.count(), labels.len());
        // And those of answers: six by class, two by success rules.
        assert_eq!(OUTCOME_LABELS.len(), labels.len() + 6 + 2);
        for outcome in outcomes {
            assert_eq!(outcome.http_status(), None, "{outcome:?}");
            let label = outcome.label();
            assert!(
                label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')),
                "{label}"
            );
        }
    }
}
