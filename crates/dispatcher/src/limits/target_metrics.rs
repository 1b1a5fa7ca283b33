//! Counters of the busiest targets, for the metrics.
//!
//! Each of the busiest targets has its own series, all others share one. A target is counted under its
//! name from the moment it gets a series, so a series never decreases; it only ends.

use crate::metrics::TargetSample;
use delivery::limits::{HealthSignal, LimitKey, TopTargets};
use std::collections::HashMap;

/// The maximum number of targets with their own series.
pub(super) const MAX_NAMED_TARGETS: usize = 20;

/// Counts since the target got its series.
#[derive(Clone, Copy, Debug, Default)]
struct TargetCounts {
    deferred: u64,
    /// Successes, failures, neither.
    attempts: [u64; 3],
}

#[derive(Debug, Default)]
pub(super) struct TargetMetricsAggregator {
    named: HashMap<LimitKey, TargetCounts>,
    others: TargetCounts,
}

impl TargetMetricsAggregator {
    /// A message was deferred.
    pub(super) fn deferred(&mut self, key: &LimitKey) {
        self.counts(key).deferred += 1;
    }

    /// A call ended.
    pub(super) fn call_ended(&mut self, key: &LimitKey, health: HealthSignal) {
        let at = match health {
            HealthSignal::Success => 0,
            HealthSignal::Failure => 1,
            HealthSignal::Neutral => 2,
        };
        self.counts(key).attempts[at] += 1;
    }

    fn counts(&mut self, key: &LimitKey) -> &mut TargetCounts {
        if self.named.contains_key(key) || self.named.len() < MAX_NAMED_TARGETS {
            return self.named.entry(key.clone()).or_default();
        }
        &mut self.others
    }

    /// Assigns series to the busiest targets, and returns the samples of all series.
    pub(super) fn samples(
        &mut self,
        busiest: &TopTargets,
        is_paused: impl Fn(&LimitKey) -> bool,
    ) -> Vec<TargetSample> {
        let previous = std::mem::take(&mut self.named);
        let mut samples = Vec::with_capacity(busiest.targets.len() + 1);
        for stats in &busiest.targets {
            let counts = previous.get(&stats.key).copied().unwrap_or_default();
            self.named.insert(stats.key.clone(), counts);
            samples.push(TargetSample {
                breaker: Some(stats.breaker),
                breakers_not_closed: Some(stats.breakers_not_closed),
                paused: Some(is_paused(&stats.key)),
                ..counts.sample(stats.key.to_string(), stats.in_flight)
            });
        }
        let others = self.others;
        samples.push(others.sample("other".to_owned(), busiest.remainder.in_flight));
        samples
    }
}

impl TargetCounts {
    fn sample(self, target: String, in_flight: u32) -> TargetSample {
        TargetSample {
            target,
            in_flight,
            deferred: self.deferred,
            breaker: None,
            breakers_not_closed: None,
            paused: None,
            attempts: self.attempts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::WorkQueue;
    use delivery::limits::{
        AdmissionRequest, CallSample, LimitDecision, Limiter, TargetLimits, Terms,
    };
    use std::time::Duration;

    fn key(number: usize) -> LimitKey {
        LimitKey::Callee(number.to_string().into())
    }

    fn total(samples: &[TargetSample]) -> u64 {
        samples.iter().flat_map(|sample| sample.attempts).sum()
    }

    /// A call that starts and ends.
    fn call(aggregator: &mut TargetMetricsAggregator, rules: &mut Limiter, number: usize) {
        let (key, limits) = (key(number), TargetLimits::default());
        let request = AdmissionRequest {
            app_id: "app",
            key: &key,
            queue: WorkQueue::First,
            terms: Terms {
                limits: &limits,
                app_cap: None,
                paused: false,
            },
        };
        let decision = rules.admit(&request, Duration::ZERO);
        let LimitDecision::Admit(permit) = decision else {
            panic!("{decision:?}")
        };
        aggregator.call_ended(&key, HealthSignal::Failure);
        rules.complete(permit, &CallSample::unknown(), Duration::ZERO);
    }

    fn samples(aggregator: &mut TargetMetricsAggregator, rules: &Limiter) -> Vec<TargetSample> {
        let busiest = rules.top(MAX_NAMED_TARGETS, Duration::ZERO);
        aggregator.samples(&busiest, |_| false)
    }

    #[test]
    fn the_busiest_have_series_and_no_series_decreases() {
        let mut rules = Limiter::new([1_000, 1_000], 1_000);
        let mut aggregator = TargetMetricsAggregator::default();
        for number in 0..100 {
            call(&mut aggregator, &mut rules, number);
        }
        let shown = samples(&mut aggregator, &rules);
        assert_eq!(shown.len(), MAX_NAMED_TARGETS + 1);
        let before = shown.last().unwrap().clone();
        assert_eq!((&*before.target, before.breaker), ("other", None));
        // One of the others becomes the busiest.
        for _ in 0..10 {
            call(&mut aggregator, &mut rules, 99);
        }
        let shown = samples(&mut aggregator, &rules);
        assert_eq!((&*shown[0].target, total(&shown[..1])), ("99", 0));
        call(&mut aggregator, &mut rules, 99);
        let shown = samples(&mut aggregator, &rules);
        assert_eq!(total(&shown[..1]), 1, "counted since it has a series");
        let after = shown.last().unwrap();
        let others = [after, &before].map(|sample| total(std::slice::from_ref(sample)));
        assert!(others[0] >= others[1], "{after:?}");
    }
}
