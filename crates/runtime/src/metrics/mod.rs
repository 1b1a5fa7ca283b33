//! Metrics of a process: one registry that every crate registers its own metrics in.
//!
//! Label values are `&'static str` of enums: callers cannot create time series, and recording a
//! value allocates nothing. Where a label is a name that callers choose, the number of series is bounded.
//!
//! - `registry.rs`: the registry
//! - `labeled.rs`: a metric with one label
//! - `process.rs`: what the process uses
//! - `time_histogram.rs`: a histogram of durations
//! - `top_counters.rs`: counters of the busiest names
//! - `traced_histogram.rs`: a histogram of durations that names traces

mod labeled;
mod process;
mod registry;
mod time_histogram;
mod top_counters;
mod traced_histogram;

pub use labeled::Labeled;
pub use prometheus_client::registry::Registry;
pub use registry::{MetricsRegistry, PageFormat, add, add_seconds};
pub use time_histogram::TimeHistogram;
pub use top_counters::TopCounters;
pub use traced_histogram::TracedHistogram;

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::histogram::Histogram;

    use super::*;

    fn has_line(page: &str, line: &str) -> bool {
        page.lines().any(|found| found == line)
    }

    #[test]
    fn what_is_recorded_is_on_the_page() {
        let registry = MetricsRegistry::new();
        let (counter, histogram, labeled) = registry.add(|registry| {
            let counter = add(registry, "sent", "Sent", Counter::<u64>::default());
            let histogram = add_seconds(registry, "took", "Took", Histogram::new([0.5, 1.0]));
            let labeled: Labeled<Counter> =
                Labeled::register(registry, "seen", "Seen", "queue", ["first", "retry"]);
            (counter, histogram, labeled)
        });
        counter.inc_by(2);
        histogram.observe(0.75);
        labeled.with("first", Counter::inc);
        labeled.with("other", Counter::inc);
        let page = registry.encode();
        for line in [
            "ringback_sent_total 2",
            "ringback_took_seconds_count 1",
            "ringback_took_seconds_bucket{le=\"0.5\"} 0",
            "ringback_took_seconds_bucket{le=\"1.0\"} 1",
            "ringback_seen_total{queue=\"first\"} 1",
            "ringback_seen_total{queue=\"other\"} 1",
            "# EOF",
        ] {
            assert!(has_line(&page, line), "no line {line:?} in:\n{page}");
        }
    }

    #[test]
    fn series_with_known_labels_are_there_from_the_start() {
        let registry = MetricsRegistry::new();
        let _labeled: Labeled<Counter> = registry
            .add(|registry| Labeled::register(registry, "seen", "Seen", "queue", ["retry"]));
        let page = registry.encode();
        assert!(
            has_line(&page, "ringback_seen_total{queue=\"retry\"} 0"),
            "{page}"
        );
    }
}
