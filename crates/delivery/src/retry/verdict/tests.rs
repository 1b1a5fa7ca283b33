//! Every outcome gets its verdict, at every attempt.

use super::*;
use crate::{FailedLookup, MalformedPart, Refusal, UnreadableAnswer};

pub(super) const NOW_MS: u64 = 1_700_000_000_000;

/// What must happen after an outcome.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    Delivered,
    Retried,
    RetriedBriefly,
    DeadLettered(DeadLetterReason),
    Deferred,
}

pub(super) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) fn answered(status: u16) -> Outcome {
    Outcome::Answered {
        status,
        retry_after: None,
    }
}

/// The first attempt under a schedule, with no jitter and no expiry.
pub(super) fn first(schedule: &Schedule) -> DecisionInput<'_> {
    DecisionInput {
        attempt: 1,
        schedule,
        max_attempts: None,
        expires_at_ms: None,
        now_ms: NOW_MS,
        chance: 0.0,
        deferrals: 0,
    }
}

/// Checks an outcome's verdict at every attempt of the default schedule.
fn check(outcome: &Outcome, expected: Expected) {
    // An internal error has the short budget only after many deferrals.
    if *outcome != Outcome::Failed {
        let is_brief = has_short_budget(outcome.label(), outcome.http_status());
        assert_eq!(
            is_brief,
            expected == Expected::RetriedBriefly,
            "{outcome:?}"
        );
    }
    let schedule = Schedule::default();
    let waits = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000].map(seconds);
    for attempt in 1..=11_u32 {
        let position = usize::try_from(attempt).unwrap() - 1;
        let retried = match waits.get(position) {
            Some(&after) => Verdict::Retry { after },
            None => Verdict::DeadLetter(DeadLetterReason::Exhausted),
        };
        let expected = match expected {
            Expected::Delivered => Verdict::Delivered,
            Expected::Retried => retried,
            Expected::RetriedBriefly if attempt >= 3 => {
                Verdict::DeadLetter(DeadLetterReason::Exhausted)
            }
            Expected::RetriedBriefly => retried,
            Expected::DeadLettered(reason) => Verdict::DeadLetter(reason),
            Expected::Deferred => Verdict::Defer { after: seconds(1) },
        };
        let found = decide(
            outcome,
            &DecisionInput {
                attempt,
                ..first(&schedule)
            },
        );
        assert_eq!(found, expected, "{outcome:?} at attempt {attempt}");
    }
}

#[test]
fn every_status_gets_the_verdict_of_the_design() {
    let rejected = [400, 405, 406, 410, 411, 413, 414, 415, 422, 431];
    let retried = [408, 409, 423, 425, 429];
    for status in 100..=599 {
        let expected = if rejected.contains(&status) {
            Expected::DeadLettered(DeadLetterReason::Rejected)
        } else if retried.contains(&status) {
            Expected::Retried
        } else {
            match status / 100 {
                1 | 5 => Expected::Retried,
                2 => Expected::Delivered,
                3 => Expected::DeadLettered(DeadLetterReason::Redirected),
                _ => Expected::RetriedBriefly,
            }
        };
        check(&answered(status), expected);
    }
}

#[test]
fn a_status_that_http_does_not_know_has_the_short_budget() {
    for status in [0, 1, 99, 600, 799, 999, u16::MAX] {
        check(&answered(status), Expected::RetriedBriefly);
    }
}

#[test]
fn every_transport_outcome_gets_the_verdict_of_the_design() {
    let table = [
        (Outcome::ConnectionRefused, Expected::Retried),
        (Outcome::ConnectionReset, Expected::Retried),
        (Outcome::Unreachable, Expected::Retried),
        (
            Outcome::NameUnresolved(FailedLookup::Both),
            Expected::Retried,
        ),
        (Outcome::ConnectTimeout, Expected::Retried),
        (Outcome::Timeout, Expected::Retried),
        (Outcome::CalleeWithoutUrl, Expected::Retried),
        (Outcome::NameNotFound, Expected::RetriedBriefly),
        (Outcome::Tls, Expected::RetriedBriefly),
        (
            Outcome::MalformedAnswer(MalformedPart::Header),
            Expected::RetriedBriefly,
        ),
        (
            Outcome::SuccessRuleFailed { status: 200 },
            Expected::Retried,
        ),
        (
            Outcome::SuccessRuleUnreadable {
                status: 200,
                reason: UnreadableAnswer::NotJson,
            },
            Expected::RetriedBriefly,
        ),
        (
            Outcome::AddressRefused(Refusal::Metadata),
            Expected::DeadLettered(DeadLetterReason::AddressRefused),
        ),
        (
            Outcome::AddressRefused(Refusal::NotListed),
            Expected::Retried,
        ),
        (Outcome::ResolverDown, Expected::Deferred),
        (Outcome::Failed, Expected::Deferred),
    ];
    for (outcome, expected) in table {
        check(&outcome, expected);
    }
}

#[test]
fn reasons_have_the_names_used_in_records_and_headers() {
    let table = [
        (DeadLetterReason::Exhausted, "exhausted"),
        (DeadLetterReason::Rejected, "rejected"),
        (DeadLetterReason::Redirected, "redirected"),
        (DeadLetterReason::AddressRefused, "address_refused"),
        (DeadLetterReason::Expired, "expired"),
        (DeadLetterReason::DeliveryLimit, "delivery_limit"),
    ];
    for (reason, name) in table {
        assert_eq!(reason.as_str(), name);
    }
}

#[test]
fn an_internal_error_that_never_ends_is_not_deferred_for_ever() {
    let schedule = Schedule::default();
    let at = |deferrals, attempt| {
        let input = DecisionInput {
            attempt,
            schedule: &schedule,
            max_attempts: None,
            expires_at_ms: None,
            now_ms: 0,
            chance: 0.0,
            deferrals,
        };
        (
            decide(&Outcome::Failed, &input),
            decide(&Outcome::ResolverDown, &input),
        )
    };
    let deferred = |verdict| matches!(verdict, Verdict::Defer { .. });
    assert!(deferred(at(11, 1).0));
    assert!(matches!(at(12, 1).0, Verdict::Retry { .. }));
    assert_eq!(
        at(12, 3).0,
        Verdict::DeadLetter(DeadLetterReason::Exhausted)
    );
    // An outage of the resolver may last for any time.
    assert!(deferred(at(1_000, 3).1));
}
