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
use super::{links, paths};
use crate::api::process_view::{CallsView, TargetView, TargetsView, UnfinishedView};
use crate::api::state::AdminState;
use crate::api::targets;
use crate::doctor::breaker_words;

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

/// A target, as its processes see it.
pub(super) struct TargetLine {
    /// Its page.
    pub(super) link: String,
    pub(super) name: String,
    pub(super) number: Option<String>,
    pub(super) delivered: u64,
    pub(super) rejected: CountedCalls,
    pub(super) failed: CountedCalls,
    pub(super) error: Option<ErrorLine>,
    pub(super) unfinished: Option<Unfinished>,
    pub(super) breaker_class: &'static str,
    pub(super) breaker: &'static str,
    /// For which apps, if it is not that of a callee, and why.
    pub(super) breaker_apps: Vec<AppBreaker>,
    /// For so many apps that are not named.
    pub(super) other_apps: u32,
    pub(super) breaker_reason: Option<String>,
    pub(super) probe_in: Option<String>,
    pub(super) retry_after: Option<String>,
    pub(super) is_paused: bool,
}

/// An app whose breaker is not closed.
pub(super) struct AppBreaker {
    pub(super) app_id: String,
    /// Its callbacks that wait for this target.
    pub(super) waiting: String,
}

/// Calls that ended alike.
pub(super) struct CountedCalls {
    pub(super) all: u64,
    /// For instance `5xx 3, timeout 1`.
    pub(super) kinds: String,
}

/// The last error.
pub(super) struct ErrorLine {
    pub(super) words: String,
    pub(super) at: When,
}

/// What waits.
pub(super) struct Unfinished {
    pub(super) count: u64,
    pub(super) at_least: bool,
    pub(super) oldest: Option<When>,
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
        warnings: t.say_all(&view.seen.warnings),
        lines: view
            .seen
            .page
            .items
            .into_iter()
            .map(|target| TargetLine::of(target, now, t))
            .collect(),
    }
}

impl TargetLine {
    /// The target as seen at `now` (Unix ms).
    pub(super) fn of(target: TargetView, now: u64, t: &Texts) -> Self {
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
        let named = target.breaker_app_ids.len();
        let is_of_apps = target.callee_no.is_none() && target.breaker != "closed";
        let apps = target.breaker_app_ids.into_iter().map(|app_id| AppBreaker {
            waiting: links::to(paths::WAITING, &[("app_id", &app_id), (key, of)]),
            app_id,
        });
        Self {
            breaker_apps: apps.collect(),
            other_apps: match is_of_apps {
                true => target
                    .breaker_apps
                    .saturating_sub(u32::try_from(named).unwrap_or(u32::MAX)),
                false => 0,
            },
            link: links::to(paths::TARGET, &[(key, of)]),
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
                    error.cause.map(|cause| t.stored(&cause)),
                ]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
            }),
            unfinished: target
                .unfinished
                .map(|unfinished| Unfinished::of(&unfinished, now, t)),
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
            breaker_reason: target
                .breaker_reason
                .map(|reason| t.say(&breaker_words::reason(&reason))),
            probe_in: target.probe_in_s.and_then(|it| seconds(it, t)),
            retry_after: target.retry_after_s.and_then(|it| seconds(it, t)),
            is_paused: target.paused,
        }
    }
}

impl Unfinished {
    pub(super) fn of(view: &UnfinishedView, now: u64, t: &Texts) -> Self {
        Self {
            count: view.count,
            at_least: view.at_least,
            oldest: view.oldest_accepted_at.map(|at| When::of(at, now, t)),
        }
    }
}

fn counted(kinds: &std::collections::BTreeMap<String, u64>) -> CountedCalls {
    let words: Vec<String> = kinds
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    CountedCalls {
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
