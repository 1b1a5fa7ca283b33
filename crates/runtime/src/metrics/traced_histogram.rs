//! A histogram of durations that names a trace for each bucket: exemplars, by which a dashboard leads
//! from a slow call to its trace.

use std::fmt;
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::exemplar::HistogramWithExemplars;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// The labels of an exemplar.
type TraceLabel = [(&'static str, String); 1];

/// A histogram of durations with exemplars. Cheap to clone. Recording takes a lock for some
/// nanoseconds. Each bucket keeps the last trace alone.
#[derive(Clone, Debug)]
pub struct TracedHistogram(HistogramWithExemplars<TraceLabel>);

impl TracedHistogram {
    /// A histogram with these upper bounds in seconds, ascending, and a bucket for all above.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        Self(HistogramWithExemplars::new(bounds.iter().copied()))
    }

    /// Adds a duration. `exported_trace`: the id of the trace that it belongs to, if its spans are
    /// exported.
    pub fn observe(&self, took: Duration, exported_trace: Option<u128>) {
        let label = exported_trace.map(|id| [("trace_id", format!("{id:032x}"))]);
        let at = label.as_ref().map(|_| SystemTime::now());
        self.0.observe(took.as_secs_f64(), label, at);
    }
}

impl TypedMetric for TracedHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for TracedHistogram {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        self.0.encode(encoder)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// The page without its exemplars, for a reader of the Prometheus text format, which has none.
pub(super) fn without_exemplars(page: &str) -> String {
    let mut plain = String::with_capacity(page.len());
    for line in page.lines() {
        let is_bucket = line.contains("_bucket{");
        let sample = match line.rfind(" # {trace_id=\"") {
            Some(at) if is_bucket => &line[..at],
            _ => line,
        };
        plain.push_str(sample);
        plain.push('\n');
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricsRegistry;
    use crate::metrics::add_seconds;

    #[test]
    fn a_bucket_names_the_last_trace_that_was_exported() {
        let registry = MetricsRegistry::new();
        let histogram = TracedHistogram::new(&[0.5, 1.0]);
        registry.add(|registry| add_seconds(registry, "took", "Took", histogram.clone()));
        for (millis, trace) in [(100, Some(1)), (200, Some(2)), (300, None), (700, None)] {
            histogram.observe(Duration::from_millis(millis), trace);
        }
        let page = registry.encode();
        let line = |start: &str| {
            let found = page.lines().find(|line| line.starts_with(start));
            found.unwrap_or_else(|| panic!("{page}")).to_owned()
        };
        let first = line("ringback_took_seconds_bucket{le=\"0.5\"} 3");
        let second = line("ringback_took_seconds_bucket{le=\"1.0\"} 4");
        let exemplar = format!(
            "ringback_took_seconds_bucket{{le=\"0.5\"}} 3 # {{trace_id=\"{:032x}\"}} 0.2 ",
            2
        );
        assert!(first.starts_with(&exemplar), "{first}\n{exemplar}");
        assert!(!second.contains('#'), "{second}");

        let plain = without_exemplars(&page);
        assert!(!plain.contains("trace_id"), "{plain}");
        assert!(plain.contains("\nringback_took_seconds_bucket{le=\"0.5\"} 3\n"));
        assert_eq!(plain.lines().count(), page.lines().count());
    }
}
