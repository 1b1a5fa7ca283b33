//! What is counted of settings that were read again?

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::by_label::ByLabel;
use super::{Metrics, add};

/// What is counted of reloads.
pub(super) struct ReloadMetrics {
    refused: Gauge,
    reloads: ByLabel<Counter>,
}

impl ReloadMetrics {
    pub(super) fn add(all: &mut Registry) -> Self {
        Self {
            refused: add(
                all,
                "settings_refused",
                "Whether the settings as they are now were refused (1), so that older ones hold",
                Gauge::default(),
            ),
            reloads: ByLabel::add(
                all,
                "settings_reloads",
                "Times that settings were read again, by result",
                "result",
                &["taken", "refused"],
            ),
        }
    }
}

impl Metrics {
    /// Settings were read again, and taken or refused.
    pub fn settings_reloaded(&self, taken: bool) {
        let result = if taken { "taken" } else { "refused" };
        self.reload.reloads.with(result, Counter::inc);
        self.reload.refused.set((!taken).into());
    }
}
