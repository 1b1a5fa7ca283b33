//! How long did a target's calls take lately?

use std::time::Duration;

/// Two steps an octave from 0.25 ms: the last one begins above 65 s, beyond the longest attempt.
const STEPS: usize = 37;
const SHORTEST_MICROS: f64 = 250.0;

/// A small histogram that forgets: the last whole period and the one that runs.
#[derive(Debug, Clone)]
pub(super) struct Latency {
    now: [u16; STEPS],
    before: [u16; STEPS],
    began: Duration,
}

/// How long a period is.
const PERIOD: Duration = Duration::from_secs(60);

impl Latency {
    pub(super) fn new() -> Self {
        Self {
            now: [0; STEPS],
            before: [0; STEPS],
            began: Duration::ZERO,
        }
    }

    pub(super) fn count(&mut self, took: Duration, now: Duration) {
        let passed = now.saturating_sub(self.began);
        if passed >= PERIOD {
            let kept = passed < PERIOD * 2;
            self.before = if kept { self.now } else { [0; STEPS] };
            self.now = [0; STEPS];
            self.began = now;
        }
        let count = &mut self.now[step(took)];
        *count = count.saturating_add(1);
    }

    /// The time within which this share of the calls ended, rounded up by at most 42 %.
    pub(super) fn quantile(&self, share: f64) -> Option<Duration> {
        let counts = || {
            self.now
                .iter()
                .zip(&self.before)
                .map(|(a, b)| u32::from(*a) + u32::from(*b))
        };
        let all: u32 = counts().sum();
        if all == 0 {
            return None;
        }
        let wanted = f64::from(all) * share;
        let mut so_far = 0;
        let mut bound = SHORTEST_MICROS;
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

fn step(took: Duration) -> usize {
    let mut bound = SHORTEST_MICROS;
    let micros = took.as_secs_f64() * 1e6;
    let mut step = 0;
    while micros > bound && step < STEPS - 1 {
        bound *= std::f64::consts::SQRT_2;
        step += 1;
    }
    step
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
            latency.count(Duration::from_millis(10), now);
        }
        for _ in 0..2 {
            latency.count(Duration::from_secs(2), now);
        }
        let near = |share, low: f64| {
            let found = latency.quantile(share).unwrap().as_secs_f64();
            assert!(found >= low && found <= low * 1.42, "{found}");
        };
        near(0.5, 0.010);
        near(0.99, 2.0);
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let mut latency = Latency::new();
        latency.count(Duration::from_secs(30), Duration::from_secs(1));
        latency.count(Duration::from_millis(1), Duration::from_secs(70));
        assert!(latency.quantile(0.99).unwrap() > Duration::from_secs(20));
        latency.count(Duration::from_millis(1), Duration::from_secs(140));
        assert!(latency.quantile(0.99).unwrap() < Duration::from_millis(2));
        latency.count(Duration::MAX, Duration::from_secs(140));
        assert!(latency.quantile(1.0).unwrap() > Duration::from_secs(60));
    }
}
