//! Figures of the limiter for people and metrics.

use std::time::Duration;

use super::circuit_breaker::BreakerState;
use super::limit_key::LimitKey;

/// One target in this process.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetStats {
    /// The callee or target.
    pub key: LimitKey,
    /// Calls in flight, both queues.
    pub in_flight: u32,
    /// Messages waiting in memory.
    pub waiting: u32,
    /// Deferrals since the limiter first saw the target.
    pub deferrals: u64,
    /// The state of its circuit breaker: the worst among those of its apps.
    pub breaker: BreakerState,
    /// For how many apps its breaker is open or half open; a callee has one breaker for all.
    pub breakers_not_closed: u32,
    /// How long until the first open breaker admits a probe.
    pub probe_in: Option<Duration>,
    /// How long its `Retry-After` is still in force; the longest, if apps differ.
    pub held_for: Option<Duration>,
    /// Calls that ended since the limiter first saw the target: successes, failures, neither.
    pub attempts: [u64; 3],
    /// Calls within the breakers' windows, and how many of them failed.
    pub window: (u32, u32),
    /// The median duration of recent calls.
    pub p50: Option<Duration>,
    /// The 99th percentile of the duration of recent calls.
    pub p99: Option<Duration>,
}

impl TargetStats {
    /// The ratio of calls within the window that did not fail; `None` without calls.
    #[must_use]
    pub fn success_ratio(&self) -> Option<f64> {
        let (calls, failures) = self.window;
        (calls > 0).then(|| 1.0 - f64::from(failures) / f64::from(calls))
    }

    pub(super) fn traffic(&self) -> u64 {
        let attempts: u64 = self.attempts.iter().sum();
        attempts.saturating_add(self.deferrals)
    }
}

/// The sum over all targets that are not listed, including those evicted since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remainder {
    /// How many targets there are, without the evicted ones.
    pub targets: usize,
    /// Calls in flight.
    pub in_flight: u32,
    /// Deferrals.
    pub deferrals: u64,
    /// Calls that ended: successes, failures, neither.
    pub attempts: [u64; 3],
}

/// The targets with the most traffic, busiest first, and the sum of the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TopTargets {
    /// The busiest targets.
    pub targets: Vec<TargetStats>,
    /// All others.
    pub remainder: Remainder,
}
