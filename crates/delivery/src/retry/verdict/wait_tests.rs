//! Every wait has the specified length, and ends with the callback's expiry or attempts.

use proptest::prelude::*;

use super::tests::{NOW_MS, answered, first, seconds};
use super::*;

fn asking(status: u16, wait: u64) -> Outcome {
    Outcome::Answered {
        status,
        retry_after: Some(seconds(wait)),
    }
}

#[test]
fn retry_after_is_a_minimum_for_429_and_503_only_and_capped_at_an_hour() {
    let schedule = Schedule::default();
    let table = [
        (asking(429, 0), 1, 5),
        (asking(429, 4), 1, 5),
        (asking(429, 60), 1, 60),
        (asking(503, 60), 1, 60),
        (asking(503, 3_600), 1, 3_600),
        (asking(503, 3_601), 1, 3_600),
        (asking(503, u64::MAX), 1, 3_600),
        // The cap is on `Retry-After`, not on the schedule's wait.
        (asking(503, 9_000), 6, 7_200),
        (asking(500, 60), 1, 5),
        (asking(502, 60), 1, 5),
        (asking(408, 60), 1, 5),
        (asking(404, 60), 1, 5),
    ];
    for (outcome, attempt, after) in table {
        let found = decide(
            &outcome,
            &DecisionInput {
                attempt,
                ..first(&schedule)
            },
        );
        assert_eq!(
            found,
            Verdict::Retry {
                after: seconds(after)
            },
            "{outcome:?}"
        );
    }
}

#[test]
fn retry_after_grants_no_attempt_beyond_the_last() {
    let schedule = Schedule::default();
    let last = DecisionInput {
        attempt: 9,
        ..first(&schedule)
    };
    assert_eq!(
        decide(&asking(503, 60), &last),
        Verdict::DeadLetter(DeadLetterReason::Exhausted)
    );
    assert_eq!(
        decide(&asking(413, 60), &first(&schedule)),
        Verdict::DeadLetter(DeadLetterReason::Rejected)
    );
    assert_eq!(
        decide(&asking(301, 60), &first(&schedule)),
        Verdict::DeadLetter(DeadLetterReason::Redirected)
    );
}

#[test]
fn the_callbacks_own_number_of_attempts_holds_also_on_the_short_budget() {
    let schedule = Schedule::default();
    let table = [
        (answered(500), 1, 1, None),
        (answered(500), 1, 2, Some(5)),
        (answered(500), 9, 20, Some(36_000)),
        (answered(500), 19, 20, Some(36_000)),
        (answered(500), 20, 20, None),
        (answered(404), 1, 1, None),
        (answered(404), 2, 20, Some(30)),
        (answered(404), 3, 20, None),
        (Outcome::Tls, 2, 2, None),
    ];
    for (outcome, attempt, most, after) in table {
        let input = DecisionInput {
            attempt,
            max_attempts: Some(most),
            ..first(&schedule)
        };
        let expected = match after {
            Some(after) => Verdict::Retry {
                after: seconds(after),
            },
            None => Verdict::DeadLetter(DeadLetterReason::Exhausted),
        };
        assert_eq!(
            decide(&outcome, &input),
            expected,
            "{outcome:?} {attempt}/{most}"
        );
    }
}

#[test]
fn a_retry_that_would_begin_after_the_expiry_is_dead_lettered_at_once() {
    let schedule = Schedule::default();
    let retry = |after| Verdict::Retry {
        after: seconds(after),
    };
    let expired = Verdict::DeadLetter(DeadLetterReason::Expired);
    let table = [
        (answered(500), 0.0, NOW_MS + 5_000, retry(5)),
        (answered(500), 0.0, NOW_MS + 4_999, expired),
        // Jitter counts: what matters is when the attempt would begin.
        (answered(500), 1.0, NOW_MS + 5_999, expired),
        (answered(500), 1.0, NOW_MS + 6_000, retry(6)),
        (asking(429, 60), 0.0, NOW_MS + 59_999, expired),
        (asking(429, 60), 0.0, NOW_MS + 60_000, retry(60)),
        (answered(500), 0.0, NOW_MS, expired),
        (answered(500), 0.0, 0, expired),
        (answered(500), 0.0, u64::MAX, retry(5)),
        (answered(404), 0.0, NOW_MS, expired),
        (answered(200), 0.0, 0, Verdict::Delivered),
        (
            answered(400),
            0.0,
            0,
            Verdict::DeadLetter(DeadLetterReason::Rejected),
        ),
    ];
    for (outcome, chance, expires_at_ms, expected) in table {
        let expires_at_ms = Some(expires_at_ms);
        let input = DecisionInput {
            chance,
            expires_at_ms,
            ..first(&schedule)
        };
        assert_eq!(
            decide(&outcome, &input),
            expected,
            "{outcome:?} {expires_at_ms:?}"
        );
    }
}

#[test]
fn exhausted_wins_over_expired() {
    let schedule = Schedule::default();
    let input = DecisionInput {
        attempt: 9,
        expires_at_ms: Some(0),
        ..first(&schedule)
    };
    assert_eq!(
        decide(&answered(500), &input),
        Verdict::DeadLetter(DeadLetterReason::Exhausted)
    );
}

#[test]
fn an_internal_error_is_deferred_for_a_doubling_time_up_to_five_minutes() {
    let schedule = Schedule::default();
    let waits = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300];
    for (deferrals, wait) in (0..).zip(waits) {
        let input = DecisionInput {
            deferrals,
            ..first(&schedule)
        };
        let found = decide(&Outcome::ResolverDown, &input);
        assert_eq!(
            found,
            Verdict::Defer {
                after: seconds(wait)
            },
            "deferred {deferrals} times"
        );
    }
    for deferrals in [63, 64, u32::MAX] {
        let input = DecisionInput {
            deferrals,
            chance: 1.0,
            ..first(&schedule)
        };
        let found = decide(&Outcome::ResolverDown, &input);
        assert_eq!(
            found,
            Verdict::Defer {
                after: seconds(360)
            },
            "deferred {deferrals} times"
        );
    }
}

#[test]
fn a_deferred_callback_returns_when_it_expires_and_is_dead_lettered_only_then() {
    let schedule = Schedule::default();
    let table = [
        (
            NOW_MS + 100_000,
            Verdict::Defer {
                after: seconds(100),
            },
        ),
        (
            NOW_MS + 400_000,
            Verdict::Defer {
                after: seconds(300),
            },
        ),
        (NOW_MS + 1, Verdict::Defer { after: seconds(1) }),
        (NOW_MS, Verdict::DeadLetter(DeadLetterReason::Expired)),
        (0, Verdict::DeadLetter(DeadLetterReason::Expired)),
    ];
    for (expires_at_ms, expected) in table {
        let expires_at_ms = Some(expires_at_ms);
        let input = DecisionInput {
            deferrals: 20,
            expires_at_ms,
            ..first(&schedule)
        };
        assert_eq!(
            decide(&Outcome::ResolverDown, &input),
            expected,
            "{expires_at_ms:?}"
        );
    }
}

proptest! {
    #[test]
    fn a_retry_is_never_early_and_at_most_a_fifth_late(
        status in 500_u16..=599,
        attempt in 1_u32..9,
        chance in 0.0..1.0_f64,
    ) {
        let schedule = Schedule::default();
        let input = DecisionInput { attempt, chance, ..first(&schedule) };
        let wait = schedule.waits()[usize::try_from(attempt).unwrap() - 1];
        match decide(&answered(status), &input) {
            Verdict::Retry { after } => prop_assert!(wait <= after && after <= wait + wait / 5),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn no_retry_after_keeps_a_callback_longer_than_an_hour_or_its_schedule(
        status in prop_oneof![Just(429_u16), Just(503)],
        header in "[0-9]{1,30}|[A-Z][a-z]{2}, [0-3][0-9] (Jan|Feb|Dec) [0-9]{4} [0-2][0-9]:[0-5][0-9]:[0-5][0-9] GMT|.{0,70}",
        attempt in 1_u32..9,
        chance in 0.0..1.0_f64,
    ) {
        let schedule = Schedule::default();
        let retry_after = crate::retry_after(&header, std::time::UNIX_EPOCH);
        let outcome = Outcome::Answered { status, retry_after };
        let input = DecisionInput { attempt, chance, ..first(&schedule) };
        let own = schedule.waits()[usize::try_from(attempt).unwrap() - 1];
        let most = own.max(seconds(3_600));
        match decide(&outcome, &input) {
            Verdict::Retry { after } => prop_assert!(own <= after && after <= most + most / 5),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn there_is_a_verdict_whatever_the_numbers(
        status in any::<u16>(),
        asked in proptest::option::of(any::<u64>()),
        attempt in any::<u32>(),
        max_attempts in proptest::option::of(any::<u32>()),
        expires_at_ms in proptest::option::of(any::<u64>()),
        now_ms in any::<u64>(),
        chance in any::<f64>(),
        deferrals in any::<u32>(),
    ) {
        let schedule = Schedule::default();
        let input = DecisionInput {
            attempt, schedule: &schedule, max_attempts, expires_at_ms, now_ms, chance, deferrals,
        };
        let outcome = Outcome::Answered { status, retry_after: asked.map(Duration::from_secs) };
        for outcome in [outcome, Outcome::Tls, Outcome::Failed] {
            if let Verdict::Retry { after } | Verdict::Defer { after } =
                decide(&outcome, &input)
            {
                prop_assert!(after >= seconds(1), "a wait of {after:?} is a tight loop");
                if let (Some(end), false) = (expires_at_ms, outcome == Outcome::Failed) {
                    prop_assert!(u128::from(now_ms) + after.as_millis() <= u128::from(end));
                }
            }
        }
    }
}
