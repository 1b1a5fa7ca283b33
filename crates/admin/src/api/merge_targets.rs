//! Adds up what several processes see of each target.

use std::collections::BTreeMap;

use contract::control::{ControlAnswerBody, OutcomeFigures, TargetFigures};
use delivery::limits::duration_quantile;

use super::pace::{self, PaceFigures};
use super::process_view::{CallsView, LastErrorView, TargetView};
use super::processes::{Names, name_of};
use crate::control::Answers;

/// States of a breaker, the worst last.
const BREAKER_STATES: [&str; 3] = ["closed", "half_open", "open"];

/// How many apps whose breaker is not closed are named.
const MAX_NAMED_APPS: usize = 10;

/// A target while it is added up.
#[derive(Default)]
struct Merged {
    sum: TargetFigures,
    last_error: Option<LastErrorView>,
}

/// The targets of all processes, busiest first, and how many at least are listed by none.
pub(super) fn merge(answers: &Answers, names: &Names) -> (Vec<TargetView>, u64) {
    let mut merged: BTreeMap<(Option<String>, Option<String>), Merged> = BTreeMap::new();
    let mut unlisted = 0;
    for answer in &answers.answers {
        let ControlAnswerBody::Targets(seen) = &answer.body else {
            continue;
        };
        unlisted = seen.others.max(unlisted);
        for figures in &seen.targets {
            let key = (figures.callee_no.clone(), figures.target.clone());
            let merged = merged.entry(key).or_default();
            merged.add(figures, || name_of(names, answer.from));
        }
    }
    let targets = merged.into_iter();
    let mut views: Vec<TargetView> = targets
        .map(|((callee_no, target), merged)| merged.view(callee_no, target))
        .collect();
    // Stable: those that are equally busy stay in the order of their names.
    views.sort_by_key(|view| {
        let now = u64::from(view.in_flight) + u64::from(view.waiting);
        std::cmp::Reverse((view.last_5_min.calls + now, view.since_start.calls))
    });
    (views, unlisted)
}

impl Merged {
    fn add(&mut self, figures: &TargetFigures, process: impl FnOnce() -> String) {
        let sum = &mut self.sum;
        sum.in_flight = sum.in_flight.saturating_add(figures.in_flight);
        sum.waiting = sum.waiting.saturating_add(figures.waiting);
        sum.slots = sum_of([sum.slots, figures.slots], u32::saturating_add);
        let rates = [sum.max_calls_per_day, figures.max_calls_per_day];
        sum.max_calls_per_day = sum_of(rates, u64::saturating_add);
        add_outcomes(&mut sum.totals, &figures.totals);
        add_outcomes(&mut sum.recent, &figures.recent);
        sum.durations.extend(&figures.durations);
        for app in &figures.breaker_app_ids {
            if !sum.breaker_app_ids.contains(app) && sum.breaker_app_ids.len() < MAX_NAMED_APPS {
                sum.breaker_app_ids.push(app.clone());
            }
        }
        let named = u32::try_from(sum.breaker_app_ids.len()).unwrap_or(u32::MAX);
        let most = sum.breaker_apps.max(figures.breaker_apps);
        sum.breaker_apps = most.max(named);
        if severity(&figures.breaker) > severity(&sum.breaker) || sum.breaker.is_empty() {
            sum.breaker.clone_from(&figures.breaker);
            sum.breaker_reason.clone_from(&figures.breaker_reason);
        }
        let probes = [sum.probe_in_ms, figures.probe_in_ms];
        sum.probe_in_ms = probes.into_iter().flatten().min();
        sum.retry_after_ms = sum.retry_after_ms.max(figures.retry_after_ms);
        if let Some(error) = &figures.last_error
            && self
                .last_error
                .as_ref()
                .is_none_or(|last| last.at < error.at)
        {
            self.last_error = Some(LastErrorView {
                outcome: error.outcome.clone(),
                http_status: error.http_status,
                cause: error.cause.clone(),
                at: error.at,
                process: process(),
            });
        }
    }

    fn view(self, callee_no: Option<String>, target: Option<String>) -> TargetView {
        let Self { sum, last_error } = self;
        let seconds = |ms: Option<u64>| ms.map(as_seconds);
        let quantile = |share| {
            let duration = duration_quantile(&sum.durations, share);
            duration.map(|duration| duration.as_secs_f64() * 1_000.0)
        };
        let last_5_min = CallsView::of(&sum.recent);
        let per_second = pace::per_second(PaceFigures {
            calls: last_5_min.calls,
            slots: sum.slots,
            usual: duration_quantile(&sum.durations, 0.5),
            max_per_second: sum.max_calls_per_day.map(as_per_second),
        });
        TargetView {
            callee_no,
            name: None,
            target,
            in_flight: sum.in_flight,
            waiting: sum.waiting,
            slots: sum.slots,
            per_second,
            success_ratio: last_5_min.success_ratio(),
            last_5_min,
            since_start: CallsView::of(&sum.totals),
            last_error,
            breaker_apps: sum.breaker_apps,
            breaker_app_ids: sum.breaker_app_ids,
            probe_in_s: seconds(sum.probe_in_ms),
            retry_after_s: seconds(sum.retry_after_ms),
            p50_ms: quantile(0.5),
            p99_ms: quantile(0.99),
            breaker: sum.breaker,
            breaker_reason: sum.breaker_reason,
            paused: false,
            unfinished: None,
        }
    }
}

/// The sum of those that are known.
fn sum_of<T>(of: [Option<T>; 2], add: fn(T, T) -> T) -> Option<T> {
    of.into_iter().flatten().reduce(add)
}

fn as_per_second(calls_per_day: u64) -> f64 {
    let seconds = std::time::Duration::from_secs(calls_per_day).as_secs_f64();
    seconds / 86_400.0
}

fn as_seconds(ms: u64) -> f64 {
    std::time::Duration::from_millis(ms).as_secs_f64()
}

fn severity(breaker: &str) -> Option<usize> {
    BREAKER_STATES.iter().position(|state| *state == breaker)
}

fn add_outcomes(sum: &mut OutcomeFigures, other: &OutcomeFigures) {
    for (outcome, count) in other {
        let sum = sum.entry(outcome.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
}

/// What an outcome says about its target.
enum Class {
    Delivered,
    Rejected(&'static str),
    Failed(String),
    NotCalled,
}

/// The class of an outcome's label.
fn class_of(outcome: &str) -> Class {
    match outcome {
        "delivered" => Class::Delivered,
        "answered_1xx" => Class::Rejected("1xx"),
        "answered_3xx" => Class::Rejected("3xx"),
        "answered_4xx" => Class::Rejected("4xx"),
        "answered_5xx" => Class::Rejected("5xx"),
        "answered_other" => Class::Rejected("other"),
        "success_rule_failed" | "success_rule_unreadable" => Class::Rejected("success_rule"),
        "connection_refused" => Class::Failed("refused".to_owned()),
        "connection_reset" => Class::Failed("reset".to_owned()),
        "connect_timeout" | "timeout" => Class::Failed("timeout".to_owned()),
        "name_not_found" | "name_unresolved" => Class::Failed("dns".to_owned()),
        "address_refused" | "callee_without_url" | "resolver_down" | "failed" => Class::NotCalled,
        // tls, unreachable, malformed_answer, and what a newer version adds.
        other => Class::Failed(other.to_owned()),
    }
}

impl CallsView {
    fn of(outcomes: &OutcomeFigures) -> Self {
        let mut view = Self::default();
        for (outcome, count) in outcomes {
            let add = |sum: &mut u64| *sum = sum.saturating_add(*count);
            match class_of(outcome) {
                Class::Delivered => add(&mut view.delivered),
                Class::Rejected(class) => add(view.rejected.entry(class.to_owned()).or_default()),
                Class::Failed(kind) => add(view.failed.entry(kind).or_default()),
                Class::NotCalled => {
                    add(&mut view.not_called);
                    continue;
                }
            }
            add(&mut view.calls);
        }
        view
    }

    /// `None` without calls.
    fn success_ratio(&self) -> Option<f64> {
        let as_float = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        (self.calls > 0).then(|| as_float(self.delivered) / as_float(self.calls))
    }
}

#[cfg(test)]
mod tests {
    use contract::control::{LastErrorSeen, TargetsSeen};
    use uuid::Uuid;

    use super::*;
    use crate::control::Answered;

    fn outcomes(counts: &[(&str, u64)]) -> OutcomeFigures {
        let counts = counts.iter();
        counts
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect()
    }

    fn figures(no: &str, recent: &[(&str, u64)], at: u64) -> TargetFigures {
        TargetFigures {
            callee_no: Some(no.to_owned()),
            in_flight: 2,
            recent: outcomes(recent),
            totals: outcomes(recent),
            breaker: "closed".to_owned(),
            last_error: Some(LastErrorSeen {
                outcome: "timeout".to_owned(),
                at,
                ..LastErrorSeen::default()
            }),
            ..TargetFigures::default()
        }
    }

    fn answers(seen: Vec<Vec<TargetFigures>>) -> (Answers, Names) {
        let mut names = Names::new();
        let answers = (1..).zip(seen).map(|(number, targets)| {
            let from = Uuid::from_u128(number);
            names.insert(from, format!("dispatcher h:{number}"));
            let others = u64::try_from(number).unwrap();
            Answered {
                from,
                body: ControlAnswerBody::Targets(TargetsSeen {
                    targets,
                    others,
                    ..TargetsSeen::default()
                }),
                at: 0,
            }
        });
        let answers = Answers {
            answers: answers.collect(),
            asked_at: 0,
            silent: Vec::new(),
            is_sent: true,
        };
        (answers, names)
    }

    #[test]
    fn the_figures_of_two_processes_add_up_and_the_worst_breaker_is_shown() {
        let mut open = figures("EO001", &[("timeout", 3), ("delivered", 1)], 9);
        open.breaker = "open".to_owned();
        open.breaker_reason = Some("12 of 20 calls failed".to_owned());
        open.probe_in_ms = Some(1_500);
        (open.breaker_apps, open.breaker_app_ids) = (1, vec!["crm".to_owned()]);
        open.slots = Some(4);
        open.durations = vec![(12, 4)];
        let mut closed = figures("EO001", &[("delivered", 2), ("answered_4xx", 4)], 7);
        (closed.breaker_apps, closed.breaker_app_ids) = (1, vec!["erp".to_owned()]);
        (closed.slots, closed.max_calls_per_day) = (Some(4), Some(172_800));
        let other = figures("EO002", &[("delivered", 100)], 1);
        let (answers, names) = answers(vec![vec![closed, other], vec![open]]);
        let (found, unlisted) = merge(&answers, &names);
        assert_eq!(unlisted, 2);
        let numbers: Vec<_> = found.iter().map(|it| it.callee_no.as_deref()).collect();
        assert_eq!(numbers, [Some("EO002"), Some("EO001")], "busiest first");
        let view = &found[1];
        assert_eq!((view.in_flight, view.last_5_min.calls), (4, 10));
        assert_eq!((view.slots, view.per_second), (Some(8), Some(2.0)));
        assert_eq!(
            (view.last_5_min.delivered, view.success_ratio),
            (3, Some(0.3))
        );
        assert_eq!(view.last_5_min.rejected, outcomes(&[("4xx", 4)]));
        assert_eq!(view.last_5_min.failed, outcomes(&[("timeout", 3)]));
        assert_eq!((&*view.breaker, view.probe_in_s), ("open", Some(1.5)));
        assert_eq!(
            view.breaker_reason.as_deref(),
            Some("12 of 20 calls failed")
        );
        assert_eq!(
            (view.breaker_apps, &*view.breaker_app_ids),
            (2, &["erp".to_owned(), "crm".to_owned()][..])
        );
        let error = view.last_error.as_ref().unwrap();
        assert_eq!((error.at, &*error.process), (9, "dispatcher h:2"));
    }

    #[test]
    fn answers_of_400_are_no_success_and_what_was_not_called_is_no_failure() {
        let calls = [("answered_4xx", 25), ("address_refused", 3), ("quic", 1)];
        let view = CallsView::of(&outcomes(&calls));
        assert_eq!((view.calls, view.not_called), (26, 3));
        assert_eq!(view.success_ratio(), Some(0.0));
        assert_eq!(view.failed, outcomes(&[("quic", 1)]));
        assert_eq!(CallsView::default().success_ratio(), None);
    }

    #[test]
    fn every_outcome_has_a_class() {
        use delivery::Outcome;
        let dns = [Outcome::NameNotFound, Outcome::Tls, Outcome::Timeout];
        let kinds = dns.map(|outcome| match class_of(outcome.label()) {
            Class::Failed(kind) => kind,
            _ => String::new(),
        });
        assert_eq!(kinds, ["dns", "tls", "timeout"]);
        for status in [100, 302, 404, 503, 999] {
            let answered = Outcome::Answered {
                status,
                retry_after: None,
            };
            assert!(
                matches!(class_of(answered.label()), Class::Rejected(_)),
                "{status}"
            );
        }
    }
}
