//! The registry of all metrics of a process, and how metrics are added to it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry, Unit};

use super::process::ProcessCollector;
use super::traced_histogram::without_exemplars;

/// The prefix of every metric's name.
const PREFIX: &str = "ringback";

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    /// OpenMetrics, with exemplars.
    OpenMetrics,
    /// The older text format of Prometheus, which has no exemplars.
    PrometheusText,
}

impl PageFormat {
    /// What a scraper with this `Accept` header gets: OpenMetrics, unless it asks for other formats
    /// alone.
    #[must_use]
    pub fn accepted_by(accept: Option<&str>) -> Self {
        let takes = |accept: &str| accept.contains("openmetrics-text") || accept.contains("*/*");
        match accept {
            Some(accept) if !takes(accept) => Self::PrometheusText,
            _ => Self::OpenMetrics,
        }
    }

    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::PrometheusText => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// The metrics of a process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MetricsRegistry(Arc<Mutex<Registries>>);

#[derive(Debug)]
struct Registries {
    /// Whose names begin with [`PREFIX`].
    ours: Registry,
    /// Whose names are the same in every program.
    common: Registry,
}

impl MetricsRegistry {
    /// A registry without metrics.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registries {
            ours: Registry::with_prefix(PREFIX),
            common: Registry::default(),
        })))
    }

    /// A registry with the version of the program, and what its process uses.
    #[must_use]
    pub fn of_process(version: &'static str) -> Self {
        let this = Self::new();
        let build = this.add(|registry| {
            add(
                registry,
                "build_info",
                "1, with the version of the program",
                Family::<[(&str, &str); 1], Gauge>::default(),
            )
        });
        build.get_or_create(&[("version", version)]).set(1);
        let collector = Box::new(ProcessCollector::new());
        this.registries().common.register_collector(collector);
        this
    }

    fn registries(&self) -> MutexGuard<'_, Registries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers the metrics of a part of the process: `registry.add(IngressMetrics::register)`.
    pub fn add<M>(&self, register: impl FnOnce(&mut Registry) -> M) -> M {
        register(&mut self.registries().ours)
    }

    /// All metrics in this format.
    #[must_use]
    pub fn encode_as(&self, format: PageFormat) -> String {
        let page = self.encode();
        match format {
            PageFormat::OpenMetrics => page,
            PageFormat::PrometheusText => without_exemplars(&page),
        }
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn encode(&self) -> String {
        let registries = self.registries();
        let mut page = String::new();
        // Writing to a String cannot fail; a cut page would lack its `# EOF` and be rejected.
        let _ = text::encode_registry(&mut page, &registries.ours)
            .and_then(|()| text::encode_registry(&mut page, &registries.common))
            .and_then(|()| text::encode_eof(&mut page));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_scraper_that_asks_for_other_formats_alone_gets_no_openmetrics() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3,*/*;q=0.2";
        for accept in [None, Some("*/*"), Some(prometheus), Some("")] {
            let expected = match accept {
                Some("") => PageFormat::PrometheusText,
                _ => PageFormat::OpenMetrics,
            };
            assert_eq!(PageFormat::accepted_by(accept), expected, "{accept:?}");
        }
        let text = PageFormat::accepted_by(Some("text/plain;version=0.0.4"));
        assert_eq!(text, PageFormat::PrometheusText);
    }
}
