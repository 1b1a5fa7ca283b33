//! How many calls a second end, over a short time.

use std::time::Duration;

/// Counts of the current period and the one before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Throughput {
    period: Duration,
    began: Duration,
    current: u32,
    previous: u32,
}

impl Throughput {
    pub(super) const fn over(period: Duration) -> Self {
        Self {
            period,
            began: Duration::ZERO,
            current: 0,
            previous: 0,
        }
    }

    pub(super) fn record(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.began);
        if passed >= self.period {
            let is_next = passed < self.period * 2;
            self.previous = if is_next { self.current } else { 0 };
            self.current = 0;
            self.began = now;
        }
        self.current = self.current.saturating_add(1);
    }

    /// Ends per second. Zero after two periods without one.
    pub(super) fn per_second(self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.began);
        if passed >= self.period * 2 {
            return 0.0;
        }
        let (count, span) = if passed >= self.period {
            (self.current, passed)
        } else {
            let count = self.current.saturating_add(self.previous);
            (count, self.period.saturating_add(passed))
        };
        f64::from(count) / span.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_measured_and_then_forgotten() {
        let mut throughput = Throughput::over(Duration::from_secs(1));
        let mut now = Duration::from_secs(100);
        for _ in 0..500 {
            now += Duration::from_millis(10);
            throughput.record(now);
        }
        let measured = throughput.per_second(now);
        assert!((90.0..=110.0).contains(&measured), "{measured}");
        assert!(throughput.per_second(now + Duration::from_millis(1_900)) < 60.0);
        assert!(throughput.per_second(now + Duration::from_secs(3)).abs() < f64::EPSILON);
    }
}
