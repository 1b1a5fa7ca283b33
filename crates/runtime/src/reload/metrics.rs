//! Metrics of reloads.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::metrics::{Labeled, Registry, add};
use std::sync::Arc;

/// Metrics of reloads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReloadMetrics {
    last_successful: Gauge,
    reloads: Arc<Labeled<Counter>>,
}

impl ReloadMetrics {
    /// Registers the metrics. The settings of the start count as a success.
    pub fn register(registry: &mut Registry) -> Self {
        let last_successful = add(
            registry,
            "config_last_reload_successful",
            "Whether the last reload of the settings succeeded (1); if not (0), the previous ones are in force",
            Gauge::default(),
        );
        last_successful.set(1);
        Self {
            last_successful,
            reloads: Arc::new(Labeled::register(
                registry,
                "config_reloads",
                "Reloads of the settings, by result",
                "result",
                ["success", "failure"],
            )),
        }
    }

    pub(super) fn reloaded(&self, successful: bool) {
        let result = if successful { "success" } else { "failure" };
        self.reloads.with(result, Counter::inc);
        self.last_successful.set(successful.into());
    }
}
