//! Does every outcome get the verdict that the design promises?

use super::*;
use crate::Refusal;

pub(super) const NOW_MS: u64 = 1_700_000_000_000;

/// What the design says of an outcome, in its own words.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Promise {
    Delivered,
    Retried,
    RetriedBriefly,
    DeadAtOnce(Reason),
    Parked,
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
pub(super) fn first(schedule: &Schedule) -> Circumstances<'_> {
    Circumstances {
        attempt: 1,
        schedule,
        max_attempts: None,
        expires_at_ms: None,
        now_ms: NOW_MS,
        chance: 0.0,
        parked: 0,
    }
}

/// Checks an outcome against its promise at every attempt of the default schedule.
fn check(outcome: &Outcome, promise: Promise) {
    let schedule = Schedule::default();
    let waits = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000].map(seconds);
    for attempt in 1..=11_u32 {
        let position = usize::try_from(attempt).unwrap() - 1;
        let retried = match waits.get(position) {
            Some(&after) => Verdict::Retry { after },
            None => Verdict::Dead(Reason::Exhausted),
        };
        let expected = match promise {
            Promise::Delivered => Verdict::Delivered,
            Promise::Retried => retried,
            Promise::RetriedBriefly if attempt >= 3 => Verdict::Dead(Reason::Exhausted),
            Promise::RetriedBriefly => retried,
            Promise::DeadAtOnce(reason) => Verdict::Dead(reason),
            Promise::Parked => Verdict::Park { after: seconds(1) },
        };
        let found = decide(
            outcome,
            &Circumstances {
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
        let promise = if rejected.contains(&status) {
            Promise::DeadAtOnce(Reason::Rejected)
        } else if retried.contains(&status) {
            Promise::Retried
        } else {
            match status / 100 {
                1 | 5 => Promise::Retried,
                2 => Promise::Delivered,
                3 => Promise::DeadAtOnce(Reason::Redirected),
                _ => Promise::RetriedBriefly,
            }
        };
        check(&answered(status), promise);
    }
}

#[test]
fn a_status_that_http_does_not_know_has_the_short_budget() {
    for status in [0, 1, 99, 600, 799, 999, u16::MAX] {
        check(&answered(status), Promise::RetriedBriefly);
    }
}

#[test]
fn every_transport_outcome_gets_the_verdict_of_the_design() {
    let table = [
        (Outcome::ConnectionRefused, Promise::Retried),
        (Outcome::ConnectionReset, Promise::Retried),
        (Outcome::Unreachable, Promise::Retried),
        (Outcome::NameUnresolved, Promise::Retried),
        (Outcome::ConnectTimeout, Promise::Retried),
        (Outcome::Timeout, Promise::Retried),
        (Outcome::CalleeWithoutUrl, Promise::Retried),
        (Outcome::NameNotFound, Promise::RetriedBriefly),
        (Outcome::Tls, Promise::RetriedBriefly),
        (Outcome::MalformedAnswer, Promise::RetriedBriefly),
        (
            Outcome::AddressRefused(Refusal::Metadata),
            Promise::DeadAtOnce(Reason::AddressRefused),
        ),
        (
            Outcome::AddressRefused(Refusal::NotListed),
            Promise::Retried,
        ),
        (Outcome::ResolverDown, Promise::Parked),
        (Outcome::Failed, Promise::Parked),
    ];
    for (outcome, promise) in table {
        check(&outcome, promise);
    }
}

#[test]
fn reasons_have_the_names_that_records_and_headers_bear() {
    let table = [
        (Reason::Exhausted, "exhausted"),
        (Reason::Rejected, "rejected"),
        (Reason::Redirected, "redirected"),
        (Reason::AddressRefused, "address_refused"),
        (Reason::Expired, "expired"),
        (Reason::DeliveryLimit, "delivery_limit"),
    ];
    for (reason, name) in table {
        assert_eq!(reason.as_str(), name);
    }
}

#[test]
fn a_fault_of_our_own_that_never_ends_is_not_parked_for_ever() {
    let schedule = Schedule::default();
    let at = |parked, attempt| {
        let circumstances = Circumstances {
            attempt,
            schedule: &schedule,
            max_attempts: None,
            expires_at_ms: None,
            now_ms: 0,
            chance: 0.0,
            parked,
        };
        (
            decide(&Outcome::Failed, &circumstances),
            decide(&Outcome::ResolverDown, &circumstances),
        )
    };
    let parked = |verdict| matches!(verdict, Verdict::Park { .. });
    assert!(parked(at(11, 1).0));
    assert!(matches!(at(12, 1).0, Verdict::Retry { .. }));
    assert_eq!(at(12, 3).0, Verdict::Dead(Reason::Exhausted));
    // An outage of the resolver may last as long as it likes.
    assert!(parked(at(1_000, 3).1));
}
