//! What is measured of single targets, without a series for everybody whom a caller names?
//!
//! The one label that is not written in the program is `target`. Whoever tells of targets names few
//! of them, the busiest, and folds the rest into one: the page shows what was told last.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Metrics;

/// No more than so many targets are shown, whatever is told.
const MOST: usize = 25;

/// What is told of one target (or callee).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFigures {
    /// Its name for people.
    pub target: String,
    /// Attempts being made now.
    pub in_flight: u32,
    /// Messages parked for it since the start.
    pub parked: u64,
    /// Its breaker: 0 closed, 1 half open, 2 open. None: it stands for several.
    pub breaker: Option<u8>,
    /// Whether it is paused. None: it stands for several.
    pub paused: Option<bool>,
    /// Attempts since the start, by how they ended for the target: `success`, `failure`, `neutral`.
    pub attempts: [(&'static str, u64); 3],
}

/// The part of the metrics that tells of targets.
#[derive(Clone, Debug, Default)]
pub(super) struct TargetMetrics(Arc<RwLock<Vec<TargetFigures>>>);

impl TargetMetrics {
    pub(super) fn add(all: &mut Registry) -> Self {
        let metrics = Self::default();
        all.register_collector(Box::new(metrics.clone()));
        metrics
    }

    fn each(
        &self,
        mut tell: impl FnMut(&TargetFigures) -> Result<(), fmt::Error>,
    ) -> Result<(), fmt::Error> {
        let told = self.0.read().unwrap_or_else(PoisonError::into_inner);
        told.iter().try_for_each(&mut tell)
    }
}

impl Metrics {
    /// What is to be shown of the busiest targets, in the place of what was shown before.
    pub fn targets(&self, mut figures: Vec<TargetFigures>) {
        figures.truncate(MOST);
        let mut told = self
            .targets
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *told = figures;
    }
}

impl Collector for TargetMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Attempts being made now, by target";
        let mut to =
            encoder.encode_descriptor("target_in_flight", help, None, MetricType::Gauge)?;
        self.each(|it| {
            let labels = [("target", it.target.as_str())];
            ConstGauge::new(i64::from(it.in_flight)).encode(to.encode_family(&labels)?)
        })?;

        let help = "Messages set aside unspent because of their target's limits, by target";
        let mut to = encoder.encode_descriptor("target_parked", help, None, MetricType::Counter)?;
        self.each(|it| {
            let labels = [("target", it.target.as_str())];
            ConstCounter::new(it.parked).encode(to.encode_family(&labels)?)
        })?;

        let help = "The target's breaker: 0 closed, 1 half open, 2 open";
        let mut to = encoder.encode_descriptor("target_breaker", help, None, MetricType::Gauge)?;
        self.each(|it| match it.breaker {
            None => Ok(()),
            Some(breaker) => {
                let labels = [("target", it.target.as_str())];
                ConstGauge::new(i64::from(breaker)).encode(to.encode_family(&labels)?)
            }
        })?;

        let help = "Whether the target is paused (1) or not (0)";
        let mut to = encoder.encode_descriptor("target_paused", help, None, MetricType::Gauge)?;
        self.each(|it| match it.paused {
            None => Ok(()),
            Some(paused) => {
                let labels = [("target", it.target.as_str())];
                ConstGauge::new(i64::from(paused)).encode(to.encode_family(&labels)?)
            }
        })?;

        let help = "Attempts ended, by target and what they say of it";
        let mut to =
            encoder.encode_descriptor("target_attempts", help, None, MetricType::Counter)?;
        self.each(|it| {
            it.attempts.iter().try_for_each(|(result, count)| {
                let labels = [("target", it.target.as_str()), ("result", result)];
                ConstCounter::new(*count).encode(to.encode_family(&labels)?)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(target: &str) -> TargetFigures {
        TargetFigures {
            target: target.to_owned(),
            in_flight: 3,
            parked: 7,
            breaker: Some(2),
            paused: Some(true),
            attempts: [("success", 1), ("failure", 5), ("neutral", 0)],
        }
    }

    #[test]
    fn what_was_told_last_of_targets_is_on_the_page() {
        let metrics = Metrics::new();
        metrics.targets(vec![figures("https://gone.example:443")]);
        let other = TargetFigures {
            breaker: None,
            paused: None,
            ..figures("other")
        };
        metrics.targets(vec![figures("https://a.example:443"), other]);
        let page = metrics.encode();
        for line in [
            "ringback_target_in_flight{target=\"https://a.example:443\"} 3",
            "ringback_target_parked_total{target=\"other\"} 7",
            "ringback_target_breaker{target=\"https://a.example:443\"} 2",
            "ringback_target_paused{target=\"https://a.example:443\"} 1",
            "ringback_target_attempts_total{target=\"other\",result=\"failure\"} 5",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
        assert!(!page.contains("gone.example"), "{page}");
        assert!(!page.contains("ringback_target_breaker{target=\"other\"}"));
    }

    #[test]
    fn no_more_targets_than_that_are_shown_whatever_is_told() {
        let metrics = Metrics::new();
        metrics.targets((0..1_000).map(|it| figures(&it.to_string())).collect());
        let page = metrics.encode();
        let shown = page.matches("ringback_target_breaker{").count();
        assert_eq!(shown, MOST);
    }

    #[test]
    fn a_quote_in_a_name_does_not_break_the_page() {
        let metrics = Metrics::new();
        metrics.targets(vec![figures("a\"b\\c\nd")]);
        let page = metrics.encode();
        let line = r#"ringback_target_in_flight{target="a\"b\\c\nd"} 3"#;
        assert!(page.lines().any(|it| it == line), "{page}");
    }
}
