//! Asks all processes about one callback, and adds what this process knows of broker and pauses.

use std::time::Duration;

use contract::control::{Ask, ControlAnswerBody};
use journal::Callback;

use super::explain::facts::{Asked, CallbackFacts, DueQueue, Holder, TargetFacts};
use super::explain::queue_name;
use super::merge_targets::merge;
use super::pace::{self, PaceFigures};
use super::pauses;
use super::process_view::{LastErrorView, TargetView};
use super::processes::{Names, name_of};
use super::state::AdminState;
use crate::control::Answers;

/// The roles that make attempts.
const DISPATCHING: [&str; 3] = ["dispatcher", "serve", "dev"];

/// What is known of an unfinished callback besides its row.
pub(super) async fn gather_facts(state: &AdminState, callback: &Callback) -> CallbackFacts {
    let id = callback.origin.request_id;
    let (held, targets, identities) = tokio::join!(
        state.control.ask(Ask::Held(id)),
        state.control.ask(Ask::Targets),
        state.control.ask(Ask::Identity)
    );
    let (names, dispatchers) = names(&identities);
    let depths = *state.broker.depths().borrow();
    let publishing = state.broker.publishing().borrow().clone();
    let faults = state.broker.faults();
    let faults = faults.map(|faults| faults.borrow().to_string());
    let depth = match queue_name(callback) {
        "first" => depths.first,
        _ => depths.retry,
    };
    CallbackFacts {
        holder: holder(&held, &names),
        target: target(callback, &targets, &names),
        asked: Some(Asked {
            answered: held.answers.len(),
            silent: held.silent.iter().map(|it| it.report.name()).collect(),
            complete: held.is_sent && identities.is_sent,
            dispatchers,
        }),
        pauses: pauses::of_callback(callback, &state.pauses),
        broker: (publishing != broker::ConnectionState::Connected).then(|| publishing.to_string()),
        faults: faults.filter(|faults| !faults.is_empty()),
        queue: DueQueue {
            all_ready: depths.backlog().current(),
            per_second: calls_per_second(&targets, &names),
            ready: depth.current(),
            oldest_due: depths.oldest_due_age,
        },
        unwritten: depths.journal.current(),
        ..CallbackFacts::default()
    }
}

/// The names of those that answered, and how many of them make attempts.
fn names(identities: &Answers) -> (Names, usize) {
    let reports = identities.answers.iter().filter_map(|answer| {
        let ControlAnswerBody::Identity(report) = &answer.body else {
            return None;
        };
        Some(report)
    });
    let dispatch = |role: &str| DISPATCHING.contains(&role);
    let dispatchers = reports.clone().filter(|report| dispatch(&report.role));
    let dispatchers = dispatchers.count();
    let names = reports.map(|report| (report.instance, report.name()));
    (names.collect(), dispatchers)
}

/// The process that holds it; of several, the one that is making its call.
fn holder(held: &Answers, names: &Names) -> Option<Holder> {
    let holders = held.answers.iter().filter_map(|answer| {
        let ControlAnswerBody::Held(Some(held)) = &answer.body else {
            return None;
        };
        Some(Holder {
            process: name_of(names, answer.from),
            since: held.since,
            queue: held.queue.clone(),
            attempt: held.attempt,
            in_flight: held.in_flight,
        })
    });
    holders.max_by_key(|holder| (holder.in_flight, holder.since))
}

/// Calls of all processes in the last five minutes.
fn calls_per_second(targets: &Answers, names: &Names) -> Option<f64> {
    let (views, _) = merge(targets, names);
    pace::per_second(PaceFigures {
        calls: views.iter().map(|view| view.last_5_min.calls).sum(),
        ..PaceFigures::default()
    })
}

/// Its callee or target, if a process has figures of it.
fn target(callback: &Callback, targets: &Answers, names: &Names) -> Option<TargetFacts> {
    let origin = &callback.origin;
    // A URL wins over a callee, which is then only a label.
    let callee = origin
        .callee_no
        .as_ref()
        .filter(|_| origin.callback_url.is_none());
    let is_its = |view: &TargetView| match callee {
        Some(no) => view.callee_no.as_ref() == Some(no),
        None => view.target.as_ref() == Some(&origin.target),
    };
    let (views, _) = merge(targets, names);
    let view = views.into_iter().find(is_its)?;
    let seconds = |seconds: Option<f64>| {
        let duration = seconds.map(Duration::try_from_secs_f64);
        duration.and_then(Result::ok)
    };
    Some(TargetFacts {
        breaker: view.breaker,
        breaker_apps: callee.is_none().then_some(view.breaker_apps),
        breaker_of_its_app: view.breaker_app_ids.contains(&origin.app_id),
        breaker_app_ids: view.breaker_app_ids,
        breaker_reason: view.breaker_reason,
        probe_in: seconds(view.probe_in_s),
        retry_after: seconds(view.retry_after_s),
        in_flight: view.in_flight,
        waiting: view.waiting,
        per_second: view.per_second,
        last_error: view.last_error.as_ref().map(last_error),
    })
}

fn last_error(error: &LastErrorView) -> (String, u64) {
    let http = error.http_status.map(|status| format!(" {status}"));
    let cause = error.cause.as_ref().map(|cause| format!(": {cause}"));
    let words = format!(
        "{}{}{}",
        error.outcome,
        http.unwrap_or_default(),
        cause.unwrap_or_default()
    );
    (words, error.at)
}
