//! Rate limiter: the generic cell rate algorithm (ITU-T I.371, annex A), a token bucket that stores
//! a single time.

use std::time::Duration;

/// Calls per second, and how many may be made at once after an idle time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    per_second: f64,
    burst: u32,
}

/// The slowest rate: one call a day.
const MIN_PER_SECOND: f64 = 1.0 / 86_400.0;

/// The fastest rate: more than any process can make.
const MAX_PER_SECOND: f64 = 1_000_000.0;

impl Rate {
    /// `per_second` calls, from one a day to a million a second; `burst` at once, at least 1.
    /// `None` outside these ranges.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        let in_range = (MIN_PER_SECOND..=MAX_PER_SECOND).contains(&per_second);
        (in_range && burst > 0).then_some(Self { per_second, burst })
    }

    /// Calls per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        self.per_second
    }

    /// How many calls may be made at once after an idle time.
    #[must_use]
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// The time between two calls.
    fn interval(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }
}

/// When the next call would be due if calls were spread evenly.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gcra {
    /// The theoretical arrival time of the next call.
    due: Duration,
}

impl Gcra {
    /// How long until a call may be made; zero: now.
    #[must_use]
    pub fn wait(self, rate: Rate, now: Duration) -> Duration {
        let ahead = rate.interval().saturating_mul(rate.burst - 1);
        self.due.saturating_sub(ahead).saturating_sub(now)
    }

    /// Takes the next token, even if it is only available later.
    pub fn take(&mut self, rate: Rate, now: Duration) {
        self.due = self.due.max(now).saturating_add(rate.interval());
    }

    /// How many calls may be made at once now.
    #[must_use]
    pub fn available(self, rate: Rate, now: Duration) -> u32 {
        let interval = rate.interval().as_nanos().max(1);
        let owed = self.until_full(now).as_nanos().div_ceil(interval);
        rate.burst
            .saturating_sub(owed.try_into().unwrap_or(u32::MAX))
    }

    /// How long until all tokens are back.
    #[must_use]
    pub fn until_full(self, now: Duration) -> Duration {
        self.due.saturating_sub(now)
    }

    /// Whether all tokens are back.
    pub(super) fn is_full(self, now: Duration) -> bool {
        self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_is_allowed_at_once_and_then_one_by_one() {
        let rate = Rate::new(10.0, 3).unwrap();
        let mut limiter = Gcra::default();
        let now = Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(limiter.wait(rate, now), Duration::ZERO);
            limiter.take(rate, now);
        }
        assert_eq!(limiter.wait(rate, now), Duration::from_millis(100));
        let later = now + Duration::from_millis(100);
        assert_eq!(limiter.wait(rate, later), Duration::ZERO);
        assert!(!limiter.is_full(later));
        assert!(limiter.is_full(now + Duration::from_secs(1)));
    }

    #[test]
    fn what_is_available_is_what_can_be_taken_at_once() {
        let rate = Rate::new(10.0, 3).unwrap();
        let mut limiter = Gcra::default();
        let now = Duration::from_secs(100);
        for left in [3, 2, 1] {
            assert_eq!(limiter.available(rate, now), left);
            limiter.take(rate, now);
        }
        assert_eq!(limiter.available(rate, now), 0);
        assert_eq!(limiter.until_full(now), Duration::from_millis(300));
        let later = now + Duration::from_millis(150);
        assert_eq!(limiter.available(rate, later), 1);
        assert_eq!(
            limiter.until_full(now + Duration::from_secs(1)),
            Duration::ZERO
        );
    }

    #[test]
    fn rates_out_of_range_are_refused() {
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert_eq!(Rate::new(per_second, 1), None, "{per_second}");
        }
        assert_eq!(Rate::new(1.0, 0), None);
    }

    proptest! {
        #[test]
        fn calls_never_exceed_the_rate_and_the_burst(
            per_second in 0.01_f64..10_000.0,
            burst in 1_u32..100,
            steps in prop::collection::vec(0_u64..500_000, 1..400),
        ) {
            let rate = Rate::new(per_second, burst).unwrap();
            let mut limiter = Gcra::default();
            let (mut now, mut calls) = (Duration::ZERO, 0_u32);
            for step in steps {
                now += Duration::from_micros(step);
                while limiter.wait(rate, now).is_zero() && calls < 100_000 {
                    limiter.take(rate, now);
                    calls += 1;
                }
            }
            let allowed = now.as_secs_f64() * per_second + f64::from(burst);
            // Intervals are whole nanoseconds.
            prop_assert!(f64::from(calls) <= allowed * 1.0001 + 1.0, "{calls} of {allowed}");
        }
    }
}
