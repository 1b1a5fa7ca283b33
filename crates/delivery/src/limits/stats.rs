//! Figures of the limiter for people and metrics.

use std::sync::Arc;
use std::time::Duration;

use super::circuit_breaker::{BreakerState, OpenReason};
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
    /// How many calls may be in flight, both queues.
    pub slots: u32,
    /// The rate limit, in calls a second.
    pub max_per_second: Option<f64>,
    /// Deferrals since the limiter first saw the target.
    pub deferrals: u64,
    /// The state of its circuit breaker: the worst among those of its apps.
    pub breaker: BreakerState,
    /// For how many apps its breaker is open or half open; a callee has one breaker for all.
    pub breakers_not_closed: u32,
    /// These apps, the worst first, at most ten; of a callee none.
    pub apps_not_closed: Vec<Arc<str>>,
    /// How long until the first open breaker admits a probe.
    pub probe_in: Option<Duration>,
    /// Why it opened: of the breaker in the worst state.
    pub opened: Option<OpenReason>,
    /// How long its `Retry-After` is still in force; the longest, if apps differ.
    pub held_for: Option<Duration>,
    /// Calls that ended since the limiter first saw the target: successes, failures, neither.
    pub attempts: [u64; 3],
    /// Calls that ended since the limiter first saw the target, by outcome.
    pub totals: Vec<(&'static str, u64)>,
    /// Those of the last five minutes.
    pub recent: Vec<(&'static str, u64)>,
    /// How the last call ended that did not deliver.
    pub last_error: Option<LastError>,
    /// The durations of recent calls, for [`duration_quantile`](super::duration_quantile): numbers
    /// of buckets with their counts.
    pub durations: Vec<(u8, u32)>,
}

/// The last call to a target that did not deliver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastError {
    /// Its outcome's label.
    pub outcome: &'static str,
    /// The target's HTTP status.
    pub http_status: Option<u16>,
    /// Why, in words for operators.
    pub cause: Option<Arc<str>>,
    /// How long ago it ended.
    pub ago: Duration,
}

/// What one app has in this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppStats {
    /// The app.
    pub app_id: Arc<str>,
    /// Its calls in flight, both queues.
    pub in_flight: u32,
    /// Its messages that wait in memory, for their targets or for a slot.
    pub waiting: u32,
}

impl TargetStats {
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
