//! Rollups: what happened in a minute, in all and to one callee, target or app.

use std::ops::AddAssign;

/// A minute, in ms.
pub const MINUTE_MS: u64 = 60_000;

/// Of each kind, at most so many names have figures of their own in a minute.
pub const MAX_ROLLUP_NAMES: usize = 500;

/// The name under which the rest of a minute is counted. What is called like this itself is counted with
/// them.
pub const OTHER_NAMES: &str = "other";

/// The upper bounds of the latency buckets, in ms; a last bucket has what took longer. Those of
/// `ringback_attempt_duration_seconds`.
pub const LATENCY_BOUNDS_MS: [u64; 12] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 15_000, 60_000,
];

/// What happened in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RollupFigures {
    /// Callbacks that were accepted.
    pub accepted: u64,
    /// Callbacks that were delivered: once in each generation, by the time of the record that counts.
    pub delivered: u64,
    /// Attempts that did not deliver.
    pub failed: u64,
    /// How often a callback was deferred, without an attempt.
    pub deferred: u64,
    /// Callbacks that were given up, expired ones among them: once in each generation.
    pub dead: u64,
    /// How long all attempts took together, in ms.
    pub duration_ms: u64,
    /// Attempts by their latency: [`LATENCY_BOUNDS_MS`], and what took longer.
    pub latency: [u64; LATENCY_BOUNDS_MS.len() + 1],
}

impl RollupFigures {
    /// How many attempts were made.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.latency.iter().sum()
    }

    /// Whether nothing happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How long an attempt took at most, in ms, for this part of all attempts (0 to 1): interpolated
    /// within its bucket, and the greatest bound beyond it. `None`: there was no attempt.
    #[must_use]
    pub fn latency_quantile(&self, quantile: f64) -> Option<f64> {
        let attempts = self.attempts();
        if attempts == 0 {
            return None;
        }
        // Counts are far below 2^52.
        let as_float = |count: u64| count as f64;
        let wanted = as_float(attempts) * quantile.clamp(0.0, 1.0);
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, count) in LATENCY_BOUNDS_MS.iter().zip(self.latency) {
            let (upper, count) = (as_float(*bound), as_float(count));
            if count > 0.0 && below + count >= wanted {
                return Some(lower + (upper - lower) * (wanted - below) / count);
            }
            below += count;
            lower = upper;
        }
        Some(lower)
    }
}

impl AddAssign<&Self> for RollupFigures {
    fn add_assign(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.accepted, other.accepted),
            (&mut self.delivered, other.delivered),
            (&mut self.failed, other.failed),
            (&mut self.deferred, other.deferred),
            (&mut self.dead, other.dead),
            (&mut self.duration_ms, other.duration_ms),
        ]
        .into_iter()
        .chain(self.latency.iter_mut().zip(other.latency))
        {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Whose figures are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollupSubject {
    /// All callbacks.
    All,
    /// Callbacks to the URL of this registered callee.
    Callee(String),
    /// Callbacks to callers' URLs of this target: scheme, host and port.
    Target(String),
    /// Callbacks of this app.
    App(String),
}

/// Which figures are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollupQuery {
    /// Whose.
    pub subject: RollupSubject,
    /// Of minutes that begin at this time (Unix ms) or later.
    pub from: u64,
    /// Of minutes that begin before this time (Unix ms).
    pub until: u64,
    /// How many minutes are added up, in ms. Steps begin at multiples of it.
    pub step: u64,
}

/// The figures of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollupPoint {
    /// When the step begins, Unix ms.
    pub at: u64,
    /// What happened in it.
    pub figures: RollupFigures,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket() {
        let mut figures = RollupFigures::default();
        assert_eq!(figures.latency_quantile(0.5), None);
        figures.latency[3] = 10; // 25 to 50 ms
        assert_eq!(figures.latency_quantile(0.5), Some(37.5));
        assert_eq!(figures.latency_quantile(1.0), Some(50.0));
        figures.latency[12] = 90;
        assert_eq!(figures.latency_quantile(0.99), Some(60_000.0));
        assert_eq!(figures.attempts(), 100);
    }

    #[test]
    fn figures_add_up() {
        let mut one = RollupFigures {
            accepted: 1,
            delivered: 2,
            failed: 3,
            deferred: 4,
            dead: 5,
            duration_ms: 6,
            latency: [7; 13],
        };
        let two = one;
        one += &two;
        let expected = RollupFigures {
            accepted: 2,
            delivered: 4,
            failed: 6,
            deferred: 8,
            dead: 10,
            duration_ms: 12,
            latency: [14; 13],
        };
        assert_eq!(one, expected);
        assert!(!one.is_empty() && RollupFigures::default().is_empty());
    }
}
