//! The targets, worst first.

use std::cmp::Reverse;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;

use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::{When, span};
use crate::api::process_view::{CallsView, TargetView, TargetsView};
use crate::api::state::AdminState;
use crate::api::targets;

/// How many are on the page.
const MAX_LISTED: usize = 100;

#[derive(Template)]
#[template(path = "console/targets.html")]
pub(super) struct TargetsPage {
    frame: PageFrame,
    t: &'static Texts,
    lines: Vec<TargetLine>,
    others: u64,
    warnings: Vec<String>,
}

struct TargetLine {
    /// Its callbacks.
    link: String,
    name: String,
    number: Option<String>,
    delivered: u64,
    rejected: Counted,
    failed: Counted,
    error: Option<ErrorLine>,
    unfinished: Option<Unfinished>,
    breaker_class: &'static str,
    breaker: &'static str,
    breaker_reason: Option<String>,
    probe_in: Option<String>,
    retry_after: Option<String>,
    is_paused: bool,
}

struct Counted {
    all: u64,
    /// For instance `5xx 3, timeout 1`.
    kinds: String,
}

struct ErrorLine {
    words: String,
    at: When,
}

struct Unfinished {
    count: u64,
    at_least: bool,
    oldest: Option<When>,
}

/// `GET /console/targets`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let sort = |all: &mut [TargetView]| all.sort_by_key(badness);
    let view = targets::ranked(&state, (0, MAX_LISTED), sort).await;
    page::answer(&visit, view.map(|view| render(&visit, view)))
}

/// What is sorted by: an open breaker first, then the most calls that did not deliver.
pub(super) fn badness(target: &TargetView) -> Reverse<(u8, u64, u64)> {
    let breaker = match &*target.breaker {
        "open" => 2,
        "half_open" => 1,
        _ => 0,
    };
    let calls = &target.last_5_min;
    let bad = sum(calls.rejected.values()).saturating_add(sum(calls.failed.values()));
    Reverse((breaker, bad, calls.calls))
}

pub(super) fn render(visit: &Visit, view: TargetsView) -> TargetsPage {
    let (t, now) = (visit.texts(), now_ms());
    TargetsPage {
        frame: PageFrame::new(visit, Section::Targets).refreshing(),
        t,
        others: view.others.count,
        warnings: view.seen.warnings,
        lines: view
            .seen
            .page
            .items
            .into_iter()
            .map(|target| line(target, now, t))
            .collect(),
    }
}

fn line(target: TargetView, now: u64, t: &Texts) -> TargetLine {
    let CallsView {
        delivered,
        rejected,
        failed,
        ..
    } = target.last_5_min;
    let (key, of) = match (&target.callee_no, &target.target) {
        (Some(no), _) => ("callee_no", no),
        (None, of) => ("target", of.as_ref().unwrap_or(&target.breaker)),
    };
    let mut link = url::form_urlencoded::Serializer::new(String::new());
    link.append_pair(key, of);
    TargetLine {
        link: format!("/console/callbacks?{}", link.finish()),
        name: target.name.unwrap_or_else(|| of.clone()),
        number: target.callee_no.clone(),
        delivered,
        rejected: counted(&rejected),
        failed: counted(&failed),
        error: target.last_error.map(|error| ErrorLine {
            at: When::of(error.at, now, t),
            words: [
                Some(error.outcome),
                error.http_status.map(|status| status.to_string()),
                error.cause,
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
        }),
        unfinished: target.unfinished.map(|unfinished| Unfinished {
            count: unfinished.count,
            at_least: unfinished.at_least,
            oldest: unfinished.oldest_accepted_at.map(|at| When::of(at, now, t)),
        }),
        breaker_class: match &*target.breaker {
            "open" => "failure",
            "half_open" => "warning",
            _ => "good",
        },
        breaker: match &*target.breaker {
            "open" => t.breaker_open,
            "half_open" => t.breaker_half_open,
            _ => t.breaker_closed,
        },
        breaker_reason: target.breaker_reason,
        probe_in: target.probe_in_s.and_then(|it| seconds(it, t)),
        retry_after: target.retry_after_s.and_then(|it| seconds(it, t)),
        is_paused: target.paused,
    }
}

fn counted(kinds: &std::collections::BTreeMap<String, u64>) -> Counted {
    let words: Vec<String> = kinds
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    Counted {
        all: sum(kinds.values()),
        kinds: words.join(", "),
    }
}

fn sum<'a>(counts: impl Iterator<Item = &'a u64>) -> u64 {
    counts.fold(0, |all, count| all.saturating_add(*count))
}

fn seconds(seconds: f64, t: &Texts) -> Option<String> {
    let duration = std::time::Duration::try_from_secs_f64(seconds.ceil()).ok()?;
    Some(span(duration.as_secs(), t))
}
