//! How long a deferred message waits.

use std::time::Duration;

const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// The delay of a message whose target is at its limits: `at_least` (from the limiter) plus
/// exponential backoff with 50 % jitter, from 1 s doubling to 300 s with each of its `deferrals`
/// since the last attempt, so that messages deferred together do not return together. `chance` is a
/// random number from 0 to 1.
///
/// If it expires after `left`, it returns then, but not in less than 1 s.
#[must_use]
pub fn defer_delay(
    at_least: Duration,
    deferrals: u32,
    chance: f64,
    left: Option<Duration>,
) -> Duration {
    let backoff = 2_u32.checked_pow(deferrals).map_or(MAX_BACKOFF, |factor| {
        MIN_BACKOFF.saturating_mul(factor).min(MAX_BACKOFF)
    });
    let chance = if chance.is_nan() {
        0.0
    } else {
        chance.clamp(0.0, 1.0)
    };
    let delay = at_least
        .saturating_add(backoff.mul_f64(0.5 + 0.5 * chance))
        .max(MIN_BACKOFF);
    match left {
        Some(left) => delay.min(left.max(MIN_BACKOFF)),
        None => delay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_backoff_grows_up_to_five_minutes() {
        let waits = |chance| {
            [0, 1, 2, 8, 9, 40, u32::MAX]
                .map(|deferrals| defer_delay(Duration::ZERO, deferrals, chance, None).as_secs_f64())
        };
        assert_eq!(waits(1.0), [1.0, 2.0, 4.0, 256.0, 300.0, 300.0, 300.0]);
        assert_eq!(waits(0.0), [1.0, 1.0, 2.0, 128.0, 150.0, 150.0, 150.0]);
        assert_eq!(waits(f64::NAN), waits(0.0));
    }

    proptest! {
        #[test]
        fn the_delay_is_what_the_limiter_asks_for_plus_the_backoff(
            at_least in 0_u64..60_000, deferrals in any::<u32>(), chance in any::<f64>(),
        ) {
            let at_least = Duration::from_millis(at_least);
            let delay = defer_delay(at_least, deferrals, chance, None);
            prop_assert!(delay >= at_least.max(MIN_BACKOFF) && delay <= at_least + MAX_BACKOFF);
        }

        #[test]
        fn the_message_returns_when_it_expires(
            at_least in 0_u64..60_000,
            deferrals in any::<u32>(),
            chance in 0.0..1.0_f64,
            left in 0_u64..600_000,
        ) {
            let left = Duration::from_millis(left);
            let delay = defer_delay(Duration::from_millis(at_least), deferrals, chance, Some(left));
            prop_assert!(delay >= MIN_BACKOFF && delay <= left.max(MIN_BACKOFF));
        }
    }
}
