//! When all that a command retries has been attempted: by its own pace and that of the targets, the
//! slower of the two.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::control::Ask;
use delivery::limits::LimitKey;
use journal::Callback;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::known_callees;
use super::merge_targets::merge;
use super::pace;
use super::process_view::TargetView;
use super::processes::Names;
use super::state::AdminState;
use crate::doctor::said::{Said, say};

/// How many targets an estimate lists: the slowest.
const MAX_LISTED: usize = 20;

/// An estimate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct EstimateView {
    /// In so many seconds all have been attempted, at the pace of the request and that of the targets.
    /// Null: not known, because the pace of a target is not.
    pub(crate) done_in_s: Option<u64>,
    /// Not all that match were looked at: the counts are extrapolated from the newest.
    #[serde(default)]
    pub(crate) extrapolated: bool,
    /// The slowest targets, those whose pace is not known first.
    pub(crate) targets: Vec<TargetEstimateView>,
}

/// What a target has of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TargetEstimateView {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callee_no: Option<String>,
    /// The name of the callee.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// How many of the callbacks are for it.
    pub(crate) count: u64,
    /// Calls per second that it takes, in all processes; null: not known.
    pub(crate) per_second: Option<f64>,
    /// Why its pace is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(crate) unknown: Option<Said>,
}

/// Whom callbacks are for: the callee, or else scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RetryDestination {
    Callee(String),
    Target(String),
}

/// The callbacks that were looked at, by whom they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RetrySample {
    pub(super) by_destination: BTreeMap<RetryDestination, u64>,
}

impl RetrySample {
    pub(super) fn add(&mut self, callback: &Callback) {
        let origin = &callback.origin;
        // A URL wins over a callee, which is then only a label.
        let destination = match (&origin.callee_no, &origin.callback_url) {
            (Some(no), None) => RetryDestination::Callee(no.clone()),
            _ => RetryDestination::Target(origin.target.clone()),
        };
        *self.by_destination.entry(destination).or_default() += 1;
    }

    fn total(&self) -> u64 {
        self.by_destination.values().sum()
    }
}

/// Asks all processes how fast the targets are, and says when `matched` callbacks have been attempted of
/// which `sample` was looked at.
pub(super) async fn of(
    state: &AdminState,
    matched: u64,
    sample: &RetrySample,
    rate: Option<u32>,
) -> Option<EstimateView> {
    if matched == 0 {
        return None;
    }
    let answers = state.control.ask(Ask::Targets).await;
    let (views, _) = merge(&answers, &Names::new());
    let registry = state.callee_registry.get();
    let is_paused = |destination: &RetryDestination| {
        let key = match destination {
            RetryDestination::Callee(no) => Some(LimitKey::Callee(no.as_str().into())),
            RetryDestination::Target(target) => LimitKey::parse(target).ok(),
        };
        key.is_some_and(|key| state.pauses.is_paused(&key))
    };
    let mut estimate = estimate(sample, &views, matched, rate, is_paused);
    for target in &mut estimate.targets {
        target.name = known_callees::name_of(target.callee_no.as_ref(), &registry);
    }
    Some(estimate)
}

fn estimate(
    sample: &RetrySample,
    views: &[TargetView],
    matched: u64,
    rate: Option<u32>,
    is_paused: impl Fn(&RetryDestination) -> bool,
) -> EstimateView {
    let looked_at = sample.total();
    let targets = sample.by_destination.iter().map(|(destination, count)| {
        let (callee_no, target) = match destination {
            RetryDestination::Callee(no) => (Some(no.clone()), None),
            RetryDestination::Target(target) => (None, Some(target.clone())),
        };
        let found = views
            .iter()
            .find(|view| view.callee_no == callee_no && view.target == target);
        let pace = match is_paused(destination) {
            true => Err(say!("it is paused", "已暂停")),
            false => pace_of(found),
        };
        TargetEstimateView {
            callee_no,
            name: None,
            target,
            count: share(*count, looked_at, matched),
            per_second: pace.as_ref().ok().copied(),
            unknown: pace.err(),
        }
    });
    let mut targets: Vec<TargetEstimateView> = targets.collect();
    sort_slowest_first(&mut targets);
    let done_in_s = done_in(&targets, (matched, matched), rate);
    targets.truncate(MAX_LISTED);
    EstimateView {
        done_in_s: done_in_s.map(|time| time.as_secs()),
        extrapolated: looked_at < matched,
        targets,
    }
}

fn pace_of(view: Option<&TargetView>) -> Result<f64, Said> {
    let not_called = || {
        say!(
            "it was not called in the last five minutes",
            "最近五分钟没有调用过"
        )
    };
    match view {
        Some(view) if view.breaker != "closed" => Err(say!(
            "its circuit breaker lets only probes through",
            "其熔断器只放行探测"
        )),
        Some(view) => view.per_second.ok_or_else(not_called),
        None => Err(not_called()),
    }
}

/// `count` of `looked_at`, as a share of `matched`, rounded up.
fn share(count: u64, looked_at: u64, matched: u64) -> u64 {
    let product = u128::from(count) * u128::from(matched);
    let share = product.div_ceil(u128::from(looked_at.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX)
}

fn time_of(target: &TargetEstimateView) -> Option<Duration> {
    pace::time_for(target.count, target.per_second?)
}

fn sort_slowest_first(targets: &mut [TargetEstimateView]) {
    targets.sort_by_key(|target| std::cmp::Reverse(time_of(target).unwrap_or(Duration::MAX)));
}

/// How long it takes until `total` of `matched` have been attempted: at `rate` per second, and not
/// faster than the targets. `None`: not known.
pub(crate) fn done_in(
    targets: &[TargetEstimateView],
    (total, matched): (u64, u64),
    rate: Option<u32>,
) -> Option<Duration> {
    if targets.is_empty() && total > 0 {
        return None;
    }
    let mut slowest = match rate {
        Some(rate) => pace::time_for(total, f64::from(rate))?,
        None => Duration::ZERO,
    };
    for target in targets {
        let count = share(target.count, matched, total);
        slowest = slowest.max(pace::time_for(count, target.per_second?)?);
    }
    Some(slowest)
}

impl EstimateView {
    /// Adds that of further callbacks. `done_in_s` is then not known.
    pub(crate) fn add(&mut self, other: Self) {
        for target in other.targets {
            let same = self
                .targets
                .iter_mut()
                .find(|it| it.callee_no == target.callee_no && it.target == target.target);
            match same {
                Some(same) => same.count += target.count,
                None => self.targets.push(target),
            }
        }
        sort_slowest_first(&mut self.targets);
        self.extrapolated |= other.extrapolated;
        self.done_in_s = None;
    }
}

#[cfg(test)]
mod tests {
    use contract::control::{ControlAnswerBody, TargetFigures, TargetsSeen};
    use uuid::Uuid;

    use super::*;
    use crate::control::{Answered, Answers};

    fn view(target: &str, calls: u64, breaker: &str) -> TargetFigures {
        TargetFigures {
            target: Some(target.to_owned()),
            recent: [("delivered".to_owned(), calls)].into(),
            breaker: breaker.to_owned(),
            ..TargetFigures::default()
        }
    }

    fn views(targets: Vec<TargetFigures>) -> Vec<TargetView> {
        let answers = Answers {
            answers: vec![Answered {
                from: Uuid::nil(),
                body: ControlAnswerBody::Targets(TargetsSeen {
                    targets,
                    ..TargetsSeen::default()
                }),
                at: 0,
            }],
            asked_at: 0,
            silent: Vec::new(),
            is_sent: true,
        };
        merge(&answers, &Names::new()).0
    }

    fn sample(counts: &[(&str, u64)]) -> RetrySample {
        let counts = counts.iter();
        RetrySample {
            by_destination: counts
                .map(|(target, count)| (RetryDestination::Target((*target).to_owned()), *count))
                .collect(),
        }
    }

    #[test]
    fn the_slower_of_request_and_target_says_when_all_is_done() {
        // 10 and 100 calls a second.
        let views = views(vec![
            view("slow", 3_000, "closed"),
            view("fast", 30_000, "closed"),
        ]);
        let both = sample(&[("slow", 100), ("fast", 500)]);
        for (rate, expected) in [(Some(10), 60), (Some(1_000), 10), (None, 10)] {
            let found = estimate(&both, &views, 600, rate, |_| false);
            assert_eq!(found.done_in_s, Some(expected), "{rate:?}");
            assert!(!found.extrapolated);
        }
        let found = estimate(&both, &views, 600, None, |_| false);
        assert_eq!(found.targets[0].target.as_deref(), Some("slow"));
        // A sixth is for the slow one, of all that match and of those that are taken.
        let ten_times = estimate(&both, &views, 6_000, Some(1_000), |_| false);
        assert_eq!(
            (ten_times.done_in_s, ten_times.extrapolated),
            (Some(100), true)
        );
        let taken = done_in(&ten_times.targets, (60, 6_000), Some(1_000));
        assert_eq!(taken, Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_pace_that_is_not_known_is_said_to_be_unknown_with_the_reason() {
        let views = views(vec![
            view("open", 3_000, "open"),
            view("fast", 30_000, "closed"),
            view("idle", 0, "closed"),
        ]);
        for (target, reason) in [
            ("open", "its circuit breaker lets only probes through"),
            ("idle", "it was not called in the last five minutes"),
            ("stranger", "it was not called in the last five minutes"),
            ("paused", "it is paused"),
        ] {
            let both = sample(&[(target, 1), ("fast", 5)]);
            let is_paused =
                |it: &RetryDestination| *it == RetryDestination::Target("paused".to_owned());
            let found = estimate(&both, &views, 6, Some(100), is_paused);
            assert_eq!(found.done_in_s, None, "{target}");
            let first = &found.targets[0];
            assert_eq!(first.target.as_deref(), Some(target));
            assert_eq!(first.unknown.as_ref().unwrap().to_string(), reason);
        }
        let nothing_seen = estimate(&RetrySample::default(), &views, 6, Some(100), |_| false);
        assert_eq!(nothing_seen.done_in_s, None);
        assert!(nothing_seen.extrapolated);
    }

    #[test]
    fn the_estimates_of_several_requests_add_up() {
        let views = views(vec![view("fast", 30_000, "closed")]);
        let mut sum = estimate(&sample(&[("fast", 100)]), &views, 100, None, |_| false);
        sum.add(estimate(
            &sample(&[("fast", 50), ("x", 1)]),
            &views,
            51,
            None,
            |_| false,
        ));
        let counts: Vec<_> = sum.targets.iter().map(|it| it.count).collect();
        assert_eq!(counts, [1, 150], "unknown first");
    }
}
