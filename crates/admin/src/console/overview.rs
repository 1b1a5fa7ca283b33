//! The first page: is all well, and if not, what is wrong and what to do.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use journal::UnfinishedCounts;
use runtime::clock::now_ms;

use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use crate::api::error::ApiError;
use crate::api::process_view::{AppView, InstanceView, SeenPage, TargetView};
use crate::api::state::AdminState;
use crate::api::{apps, doctor, instances, targets};
use crate::doctor::{Facts, Finding, Severity};

#[derive(Template)]
#[template(path = "console/overview.html")]
pub(super) struct OverviewPage {
    frame: PageFrame,
    t: &'static Texts,
    /// Its class in the style sheet.
    state: &'static str,
    headline: &'static str,
    /// What is not as it should be, the worst first.
    problems: Vec<FindingLine>,
    all: Vec<FindingLine>,
    checked: When,
    process: String,
    figures: Vec<Figure>,
    instances: Vec<InstanceLine>,
    warnings: Vec<String>,
}

struct FindingLine {
    class: &'static str,
    word: &'static str,
    check: String,
    sentence: String,
    next: Option<String>,
}

struct Figure {
    name: &'static str,
    /// `None`: not known.
    value: Option<u64>,
    link: &'static str,
}

struct InstanceLine {
    view: InstanceView,
    started: When,
}

/// What the page is made of.
pub(super) struct Overview {
    pub(super) now: u64,
    pub(super) process: String,
    pub(super) findings: Vec<Finding>,
    pub(super) instances: SeenPage<InstanceView>,
    pub(super) apps: Vec<AppView>,
    pub(super) targets: Vec<TargetView>,
    pub(super) unfinished: Option<u64>,
    pub(super) dead: Option<u64>,
}

/// `GET /console/`
pub(super) async fn show(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let overview = gather(&state).await;
    page::answer(&visit, overview.map(|it| render(&visit, it)))
}

async fn gather(state: &AdminState) -> Result<Overview, ApiError> {
    let unfinished = async {
        let journal = state.journal.clone()?;
        // One app's row is enough for the total.
        let counts = state.run(async move { Ok(journal.unfinished(1).await?) });
        counts
            .await
            .ok()
            .map(|UnfinishedCounts { total, .. }| total)
    };
    let (facts, instances, apps, targets, unfinished) = tokio::join!(
        doctor::facts(state),
        instances::page(state),
        apps::ranked(state, 0, usize::MAX),
        targets::seen(state),
        unfinished
    );
    let facts: Facts = facts?;
    let dead = facts.journal.dead_letters.as_ref().ok().map(|it| it.all);
    let view = doctor::view(state, &facts);
    Ok(Overview {
        now: view.now,
        process: view.process,
        findings: view.findings,
        instances,
        apps: apps.page.items,
        targets,
        unfinished,
        dead,
    })
}

pub(super) fn render(visit: &Visit, overview: Overview) -> OverviewPage {
    let t = visit.texts();
    let now = now_ms();
    let worst = overview
        .findings
        .iter()
        .map(|finding| finding.severity)
        .max();
    let worst = worst.unwrap_or(Severity::Ok);
    let mut problems: Vec<&Finding> = overview
        .findings
        .iter()
        .filter(|finding| finding.severity != Severity::Ok)
        .collect();
    problems.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let accepted = overview.apps.iter().map(|app| app.accepted).sum();
    let calls = || overview.targets.iter().map(|target| &target.last_5_min);
    let delivered = calls().map(|calls| calls.delivered).sum();
    let failing = calls()
        .flat_map(|calls| calls.rejected.values().chain(calls.failed.values()))
        .sum();
    let figure = |name, value, link| Figure { name, value, link };
    OverviewPage {
        frame: PageFrame::new(visit, Section::Overview).refreshing(),
        t,
        state: class(worst),
        headline: match worst {
            Severity::Ok => t.all_is_well,
            Severity::Unknown => t.something_unknown,
            Severity::Warning => t.needs_a_look,
            Severity::Failure => t.something_is_wrong,
        },
        problems: problems.into_iter().map(|it| line(it, t)).collect(),
        all: overview.findings.iter().map(|it| line(it, t)).collect(),
        checked: When::of(overview.now, now, t),
        process: overview.process,
        figures: vec![
            figure(t.accepted_figure, Some(accepted), "/console/callbacks"),
            figure(t.delivered_figure, Some(delivered), "/console/targets"),
            figure(t.failing_figure, Some(failing), "/console/targets"),
            figure(
                t.waiting_figure,
                overview.unfinished,
                "/console/callbacks?status=queued%2Cretrying",
            ),
            figure(t.dead_figure, overview.dead, "/console/dead-letters"),
        ],
        warnings: overview.instances.warnings,
        instances: overview
            .instances
            .page
            .items
            .into_iter()
            .map(|view| InstanceLine {
                started: When::of(view.started_at, now, t),
                view,
            })
            .collect(),
    }
}

const fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Ok => "good",
        Severity::Unknown => "unknown",
        Severity::Warning => "warning",
        Severity::Failure => "failure",
    }
}

fn line(finding: &Finding, t: &Texts) -> FindingLine {
    FindingLine {
        class: class(finding.severity),
        word: match finding.severity {
            Severity::Ok => t.severity_ok,
            Severity::Unknown => t.severity_unknown,
            Severity::Warning => t.severity_warning,
            Severity::Failure => t.severity_failure,
        },
        check: finding.check.to_string(),
        sentence: finding.sentence.clone(),
        next: finding.next.as_ref().map(ToString::to_string),
    }
}
