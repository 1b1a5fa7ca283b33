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

    /// The numbers of the buckets that are not empty, with their counts.
    pub(super) fn counts(&self) -> Vec<(u8, u32)> {
        let counts = self.current.iter().zip(&self.previous);
        let counts = (0..).zip(counts.map(|(a, b)| u32::from(*a) + u32::from(*b)));
        counts.filter(|(_, count)| *count > 0).collect()
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

/// The duration that this share of the calls did not exceed, rounded up by at most 42 %. `counts`:
/// [`TargetStats::durations`](super::TargetStats::durations) of one process, or of several in a row.
#[must_use]
pub fn duration_quantile(counts: &[(u8, u32)], share: f64) -> Option<Duration> {
    let mut sums = [0_u64; BUCKETS];
    for (bucket, count) in counts {
        // What another version counts beyond the last bucket is as long.
        sums[usize::from(*bucket).min(BUCKETS - 1)] += u64::from(*count);
    }
    let total = u32::try_from(sums.iter().sum::<u64>()).unwrap_or(u32::MAX);
    if total == 0 {
        return None;
    }
    let wanted = f64::from(total) * share;
    let (mut so_far, mut bound) = (0_u64, MIN_MICROS);
    for count in sums {
        so_far += count;
        if f64::from(u32::try_from(so_far).unwrap_or(u32::MAX)) >= wanted {
            break;
        }
        bound *= std::f64::consts::SQRT_2;
    }
    Some(Duration::from_secs_f64(bound / 1e6))
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
    fn the_durations_of_two_processes_are_merged_exactly() {
        let (mut one, mut other, mut both) = (Latency::new(), Latency::new(), Latency::new());
        for number in 1..200_u64 {
            let duration = Duration::from_millis(number * number % 977);
            let half = if number % 3 == 0 {
                &mut one
            } else {
                &mut other
            };
            half.record(duration, Duration::ZERO);
            both.record(duration, Duration::ZERO);
        }
        let counts = [one.counts(), other.counts()].concat();
        for share in [0.1, 0.5, 0.99, 1.0] {
            assert_eq!(duration_quantile(&counts, share), both.quantile(share));
        }
        assert_eq!(duration_quantile(&[], 0.5), None);
        assert!(duration_quantile(&[(255, u32::MAX)], 0.5) > Some(Duration::from_secs(60)));
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
