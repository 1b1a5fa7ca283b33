//! Has this target had its calls for this moment?
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A): a token bucket that stores one moment.

use std::time::Duration;

/// So many calls a second, and so many at once after a quiet time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    per_second: f64,
    burst: u32,
}

/// The slowest rate: a call a day. The fastest: faster than anybody calls.
const RATES: (f64, f64) = (1.0 / 86_400.0, 1_000_000.0);

impl Rate {
    /// `per_second` calls, one a day to a million a second; `burst` at once, at least 1. `None`
    /// for a rate that is none of these.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        let within = per_second >= RATES.0 && per_second <= RATES.1;
        (within && burst > 0).then_some(Self { per_second, burst })
    }

    pub(super) fn per_second(self) -> f64 {
        self.per_second
    }

    /// The time between two calls.
    fn interval(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }
}

/// When the next call is due by the rate, if calls came evenly.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bucket {
    due: Duration,
}

impl Bucket {
    /// How long until a call may go; zero: now.
    #[must_use]
    pub fn wait(self, rate: Rate, now: Duration) -> Duration {
        let ahead = rate.interval().saturating_mul(rate.burst - 1);
        self.due.saturating_sub(ahead).saturating_sub(now)
    }

    /// Takes the next token, even one of a later moment.
    pub fn take(&mut self, rate: Rate, now: Duration) {
        self.due = self.due.max(now).saturating_add(rate.interval());
    }

    /// Whether it has all its tokens.
    pub(super) fn is_full(self, now: Duration) -> bool {
        self.due <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_by_one() {
        let rate = Rate::new(10.0, 3).unwrap();
        let mut bucket = Bucket::default();
        let now = Duration::from_secs(100);
        for _ in 0..3 {
            assert_eq!(bucket.wait(rate, now), Duration::ZERO);
            bucket.take(rate, now);
        }
        assert_eq!(bucket.wait(rate, now), Duration::from_millis(100));
        let later = now + Duration::from_millis(100);
        assert_eq!(bucket.wait(rate, later), Duration::ZERO);
        assert!(!bucket.is_full(later));
        assert!(bucket.is_full(now + Duration::from_secs(1)));
    }

    #[test]
    fn rates_that_are_none_are_refused() {
        for per_second in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
            assert_eq!(Rate::new(per_second, 1), None, "{per_second}");
        }
        assert_eq!(Rate::new(1.0, 0), None);
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_the_burst(
            per_second in 0.01_f64..10_000.0,
            burst in 1_u32..100,
            steps in prop::collection::vec(0_u64..500_000, 1..400),
        ) {
            let rate = Rate::new(per_second, burst).unwrap();
            let mut bucket = Bucket::default();
            let (mut now, mut gone) = (Duration::ZERO, 0_u32);
            for step in steps {
                now += Duration::from_micros(step);
                while bucket.wait(rate, now).is_zero() && gone < 100_000 {
                    bucket.take(rate, now);
                    gone += 1;
                }
            }
            let allowed = now.as_secs_f64() * per_second + f64::from(burst);
            // Intervals are whole nanoseconds.
            prop_assert!(f64::from(gone) <= allowed * 1.0001 + 1.0, "{gone} of {allowed}");
        }
    }
}
