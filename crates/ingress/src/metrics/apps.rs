//! Metrics per app, without a series for every app that a caller names.
//!
//! Only the apps with the most unfinished callbacks are published, and the rest as one; the page
//! shows what was published last.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// No more series than this are shown, however many are published.
const MAX_APPS: usize = 25;

/// The unfinished callbacks of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppSample {
    pub(crate) app_id: String,
    pub(crate) unfinished: u64,
    /// Of these, with a time of the next attempt.
    pub(crate) waiting: u64,
}

impl AppSample {
    /// The label of all apps without a series of their own.
    pub(crate) const OTHER: &str = "other";
}

/// Collects the samples that were published last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct AppCollector(Arc<RwLock<Vec<AppSample>>>);

impl AppCollector {
    /// Replaces the samples.
    pub(super) fn publish(&self, mut samples: Vec<AppSample>) {
        samples.truncate(MAX_APPS);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = samples;
    }

    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&AppSample) -> u64,
    ) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let samples = self.0.read().unwrap_or_else(PoisonError::into_inner);
        samples.iter().try_for_each(|sample| {
            let labels = [("app_id", sample.app_id.as_str())];
            let value = i64::try_from(value(sample)).unwrap_or(i64::MAX);
            ConstGauge::new(value).encode(metric.encode_family(&labels)?)
        })
    }
}

impl Collector for AppCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.gauge(
            &mut encoder,
            "app_unfinished",
            "Callbacks neither delivered nor given up nor cancelled, by app, as admission counts them",
            |sample| sample.unfinished,
        )?;
        self.gauge(
            &mut encoder,
            "app_waiting",
            "Unfinished callbacks with a time of the next attempt, by app, as admission counts them",
            |sample| sample.waiting,
        )
    }
}

#[cfg(test)]
mod tests {
    use runtime::MetricsRegistry;

    use super::*;

    fn page(samples: Vec<AppSample>) -> String {
        let registry = MetricsRegistry::new();
        let collector = AppCollector::default();
        registry.add(|registry| registry.register_collector(Box::new(collector.clone())));
        collector.publish(samples);
        registry.encode()
    }

    fn sample(app_id: &str) -> AppSample {
        AppSample {
            app_id: app_id.to_owned(),
            unfinished: 7,
            waiting: 3,
        }
    }

    #[test]
    fn the_page_shows_what_was_published_last() {
        let page = page(vec![sample("crm"), sample("a\"b\\c")]);
        for line in [
            "ringback_app_unfinished{app_id=\"crm\"} 7",
            "ringback_app_waiting{app_id=\"crm\"} 3",
            r#"ringback_app_waiting{app_id="a\"b\\c"} 3"#,
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }

    #[test]
    fn the_number_of_series_is_bounded() {
        let many = (0..1_000).map(|number: u32| sample(&number.to_string()));
        let page = page(many.collect());
        assert_eq!(page.matches("ringback_app_unfinished{").count(), MAX_APPS);
    }
}
