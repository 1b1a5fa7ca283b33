//! A histogram of durations that is recorded without a lock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A histogram of durations. Cheap to clone. Recording touches two atomics.
#[derive(Clone, Debug)]
pub struct TimeHistogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The upper bounds of all buckets but the last, in seconds, ascending.
    bounds: &'static [f64],
    /// How many durations are in each bucket alone; the last one has no bound.
    buckets: Vec<AtomicU64>,
    sum_micros: AtomicU64,
}

impl TimeHistogram {
    /// A histogram with these upper bounds in seconds, ascending, and a bucket for all above.
    #[must_use]
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::default());
        Self(Arc::new(Inner {
            bounds,
            buckets: buckets.collect(),
            sum_micros: AtomicU64::default(),
        }))
    }

    /// Adds a duration.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.0.bounds.partition_point(|bound| *bound < seconds);
        if let Some(bucket) = self.0.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl TypedMetric for TimeHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for TimeHistogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = self.0.bounds.iter().copied().chain([f64::INFINITY]);
        let buckets = self.0.buckets.iter();
        let counts = buckets.map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // Not counted apart: so it is the last bucket's, whatever is recorded meanwhile.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.0.sum_micros.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum.as_secs_f64(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricsRegistry;
    use crate::metrics::add_seconds;

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        let registry = MetricsRegistry::new();
        let histogram = TimeHistogram::new(&[0.5, 1.0]);
        registry.add(|registry| add_seconds(registry, "took", "Took", histogram.clone()));
        for millis in [0, 500, 501, 1_000, 1_001, 86_400_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        histogram.observe(Duration::from_micros(1));
        let page = registry.encode();
        for line in [
            "# TYPE ringback_took_seconds histogram",
            "ringback_took_seconds_bucket{le=\"0.5\"} 3",
            "ringback_took_seconds_bucket{le=\"1.0\"} 5",
            "ringback_took_seconds_bucket{le=\"+Inf\"} 7",
            "ringback_took_seconds_count 7",
            "ringback_took_seconds_sum 86403.002001",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
