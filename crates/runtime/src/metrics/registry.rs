//! The registry of all metrics of a process, and how metrics are added to it.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::registry::{Metric, Registry, Unit};

/// The prefix of every metric's name.
const PREFIX: &str = "ringback";

/// The media type of [`MetricsRegistry::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MetricsRegistry(Arc<Mutex<Registry>>);

impl MetricsRegistry {
    /// A registry without metrics.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix(PREFIX))))
    }

    /// Registers the metrics of a part of the process: `registry.add(IngressMetrics::register)`.
    pub fn add<M>(&self, register: impl FnOnce(&mut Registry) -> M) -> M {
        register(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All metrics in the OpenMetrics text format, of type [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = String::new();
        // Writing to a String cannot fail; a cut page would lack its `# EOF` and be rejected.
        let _ = text::encode(&mut page, &registry);
        page
    }
}

impl Default for MetricsRegistry {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers a metric, and returns it.
pub fn add<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// Registers a metric in seconds, and returns it.
pub fn add_seconds<M: Metric + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    metric: M,
) -> M {
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}
