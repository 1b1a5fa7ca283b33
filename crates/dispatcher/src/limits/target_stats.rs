//! Statistics of the targets that this process calls.

use super::limiter::TargetLimiter;
use super::pauses::PauseRegistry;
use crate::metrics::DispatcherMetrics;
use delivery::limits::{LimitKey, TopTargets};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the metrics are updated.
const METRICS_INTERVAL: Duration = Duration::from_secs(2);

/// The targets and callees of a dispatcher. Cheap to clone.
#[derive(Clone)]
pub struct TargetStatsHandle(Arc<TargetLimiter>);

impl Default for TargetStatsHandle {
    /// For a process that calls no targets.
    fn default() -> Self {
        Self(TargetLimiter::new([1, 1], PauseRegistry::default()))
    }
}

impl TargetStatsHandle {
    pub(crate) fn new(limiter: &Arc<TargetLimiter>) -> Self {
        Self(Arc::clone(limiter))
    }

    /// The `count` busiest keys of this process, busiest first, and the others together. A key that
    /// has been idle for a while may be missing.
    pub fn top(&self, count: usize) -> TopTargets {
        self.0.top(count)
    }

    /// Whether this key is paused, as far as this process knows.
    pub fn is_paused(&self, key: &LimitKey) -> bool {
        self.0.pauses().is_paused(key)
    }
}

/// Keeps the metrics of targets up to date until `stop`.
pub(crate) async fn publish_metrics(
    limiter: Arc<TargetLimiter>,
    metrics: Arc<DispatcherMetrics>,
    stop: CancellationToken,
) {
    let mut interval = tokio::time::interval(METRICS_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(interval.tick()).await.is_some() {
        metrics.publish_targets(limiter.samples(), limiter.pauses().count());
    }
}
