//! Metrics per target, without a series for every host that a caller names.
//!
//! `target` is the only label whose values are not fixed in the program. Only the busiest targets are
//! published, and the rest as one; the page shows what was published last.

use delivery::limits::BreakerState;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// No more targets than this are shown, however many are published.
const MAX_TARGETS: usize = 25;

/// The results of attempts, in the order of [`TargetSample::attempts`].
const RESULTS: [&str; 3] = ["success", "failure", "neutral"];

/// The metrics of one target or callee.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetSample {
    /// Its name for people.
    pub(crate) target: String,
    /// Attempts in flight.
    pub(crate) in_flight: u32,
    /// Messages deferred because of its limits since the start.
    pub(crate) deferred: u64,
    /// The worst among its apps. `None` for the sample of all other targets.
    pub(crate) breaker: Option<BreakerState>,
    /// For how many apps it is not closed. `None` for the sample of all other targets.
    pub(crate) breakers_not_closed: Option<u32>,
    /// `None` for the sample of all other targets.
    pub(crate) paused: Option<bool>,
    /// Attempts since the start: successes, failures, neither.
    pub(crate) attempts: [u64; 3],
}

/// Collects the samples that were published last. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetCollector(Arc<RwLock<Vec<TargetSample>>>);

impl TargetCollector {
    /// Replaces the samples.
    pub(super) fn publish(&self, mut samples: Vec<TargetSample>) {
        samples.truncate(MAX_TARGETS);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = samples;
    }

    fn try_for_each(
        &self,
        write: impl FnMut(&TargetSample) -> Result<(), fmt::Error>,
    ) -> Result<(), fmt::Error> {
        let samples = self.0.read().unwrap_or_else(PoisonError::into_inner);
        samples.iter().try_for_each(write)
    }

    /// A gauge for each target that has a value.
    fn gauge(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&TargetSample) -> Option<i64>,
    ) -> Result<(), fmt::Error> {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        self.try_for_each(|sample| match value(sample) {
            None => Ok(()),
            Some(value) => {
                let labels = [("target", sample.target.as_str())];
                ConstGauge::new(value).encode(metric.encode_family(&labels)?)
            }
        })
    }
}

impl Collector for TargetCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.gauge(
            &mut encoder,
            "target_in_flight",
            "Attempts in flight, by target",
            |sample| Some(sample.in_flight.into()),
        )?;
        self.gauge(
            &mut encoder,
            "target_breaker",
            "The target's circuit breaker, the worst among its apps: 0 closed, 1 half open, 2 open",
            |sample| {
                Some(match sample.breaker? {
                    BreakerState::Closed => 0,
                    BreakerState::HalfOpen => 1,
                    BreakerState::Open => 2,
                })
            },
        )?;
        self.gauge(
            &mut encoder,
            "target_breaker_apps",
            "Apps for which the target's circuit breaker is open or half open",
            |sample| sample.breakers_not_closed.map(i64::from),
        )?;
        self.gauge(
            &mut encoder,
            "target_paused",
            "Whether the target is paused (1) or not (0)",
            |sample| sample.paused.map(i64::from),
        )?;

        let help = "Messages deferred because of their target's limits, by target";
        let mut metric =
            encoder.encode_descriptor("target_deferrals", help, None, MetricType::Counter)?;
        self.try_for_each(|sample| {
            let labels = [("target", sample.target.as_str())];
            ConstCounter::new(sample.deferred).encode(metric.encode_family(&labels)?)
        })?;

        let help = "Attempts ended, by target and result";
        let mut metric =
            encoder.encode_descriptor("target_attempts", help, None, MetricType::Counter)?;
        self.try_for_each(|sample| {
            let results = RESULTS.into_iter().zip(sample.attempts);
            results.into_iter().try_for_each(|(result, count)| {
                let labels = [("target", sample.target.as_str()), ("result", result)];
                ConstCounter::new(count).encode(metric.encode_family(&labels)?)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::MetricsRegistry;

    fn page(samples: Vec<TargetSample>) -> String {
        let registry = MetricsRegistry::new();
        let collector = TargetCollector::default();
        registry.add(|registry| registry.register_collector(Box::new(collector.clone())));
        collector.publish(vec![sample("https://gone.example:443")]);
        collector.publish(samples);
        registry.encode()
    }

    fn sample(target: &str) -> TargetSample {
        TargetSample {
            target: target.to_owned(),
            in_flight: 3,
            deferred: 7,
            breaker: Some(BreakerState::Open),
            breakers_not_closed: Some(2),
            paused: Some(true),
            attempts: [1, 5, 0],
        }
    }

    #[test]
    fn the_page_shows_what_was_published_last() {
        let other = TargetSample {
            breaker: None,
            breakers_not_closed: None,
            paused: None,
            ..sample("other")
        };
        let page = page(vec![sample("https://a.example:443"), other]);
        for line in [
            "ringback_target_in_flight{target=\"https://a.example:443\"} 3",
            "ringback_target_deferrals_total{target=\"other\"} 7",
            "ringback_target_breaker{target=\"https://a.example:443\"} 2",
            "ringback_target_breaker_apps{target=\"https://a.example:443\"} 2",
            "ringback_target_paused{target=\"https://a.example:443\"} 1",
            "ringback_target_attempts_total{target=\"other\",result=\"failure\"} 5",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
        assert!(!page.contains("gone.example"), "{page}");
        assert!(!page.contains("ringback_target_breaker{target=\"other\"}"));
    }

    #[test]
    fn the_number_of_targets_on_the_page_is_bounded() {
        let page = page(
            (0..1_000)
                .map(|number: u32| sample(&number.to_string()))
                .collect(),
        );
        let shown = page.matches("ringback_target_breaker{").count();
        assert_eq!(shown, MAX_TARGETS);
    }

    #[test]
    fn a_quote_in_a_name_does_not_break_the_page() {
        let page = page(vec![sample("a\"b\\c\nd")]);
        let line = r#"ringback_target_in_flight{target="a\"b\\c\nd"} 3"#;
        assert!(page.lines().any(|found| found == line), "{page}");
    }
}
