//! The duration of a target's recent calls, as a small histogram.

use std::time::Duration;

/// Two buckets per octave from 0.25 ms: the last one begins above 65 s, beyond the longest attempt.
const BUCKETS: usize = 37;
const MIN_MICROS: f64 = 250.0;

/// A period of the histogram.
const PERIOD: Duration = Duration::from_secs(60);

/// A histogram of the current period and the one before it.
#[derive(Debug, Clone)]
pub(super) struct Latency {
    current: [u16; BUCKETS],
    previous: [u16; BUCKETS],
    began: Duration,
}

impl Latency {
    pub(super) fn new() -> Self {
        Self {
            current: [0; BUCKETS],
            previous: [0; BUCKETS],
            began: Duration::ZERO,
        }
    }

    pub(super) fn record(&mut self, duration: Duration, now: Duration) {
        let passed = now.saturating_sub(self.began);
        if passed >= PERIOD {
            let is_next = passed < PERIOD * 2;
            self.previous = if is_next { self.current } else { [0; BUCKETS] };
            self.current = [0; BUCKETS];
            self.began = now;
        }
        let count = &mut self.current[bucket(duration)];
        *count = count.saturating_add(1);
    }

    /// The duration that this share of the calls did not exceed, rounded up by at most 42 %.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let counts = || {
            self.current
                .iter()
                .zip(&self.previous)
                .map(|(a, b)| u32::from(*a) + u32::from(*b))
        };
        let total: u32 = counts().sum();
        if total == 0 {
            return None;
        }
        let wanted = f64::from(total) * share;
        let mut so_far = 0;
        let mut bound = MIN_MICROS;
        for count in counts() {
            so_far += count;
            if f64::from(so_far) >= wanted {
                break;
            }
            bound *= std::f64::consts::SQRT_2;
        }
        Some(Duration::from_secs_f64(bound / 1e6))
    }
}

fn bucket(duration: Duration) -> usize {
    let mut bound = MIN_MICROS;
    let micros = duration.as_secs_f64() * 1e6;
    let mut bucket = 0;
    while micros > bound && bucket < BUCKETS - 1 {
        bound *= std::f64::consts::SQRT_2;
        bucket += 1;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_rounded_up_a_little() {
        let mut latency = Latency::new();
        assert_eq!(latency.quantile(0.5), None);
        let now = Duration::from_secs(5);
        for _ in 0..98 {
            latency.record(Duration::from_millis(10), now);
        }
        for _ in 0..2 {
            latency.record(Duration::from_secs(2), now);
        }
        let near = |share, low: f64| {
            let found = latency.quantile(share).unwrap().as_secs_f64();
            assert!(found >= low && found <= low * 1.42, "{found}");
        };
        near(0.5, 0.010);
        near(0.99, 2.0);
    }

    #[test]
    fn old_calls_are_forgotten() {
        let mut latency = Latency::new();
        latency.record(Duration::from_secs(30), Duration::from_secs(1));
        latency.record(Duration::from_millis(1), Duration::from_secs(70));
        assert!(latency.quantile(0.99).unwrap() > Duration::from_secs(20));
        latency.record(Duration::from_millis(1), Duration::from_secs(140));
        assert!(latency.quantile(0.99).unwrap() < Duration::from_millis(2));
        latency.record(Duration::MAX, Duration::from_secs(140));
        assert!(latency.quantile(1.0).unwrap() > Duration::from_secs(60));
    }
}
