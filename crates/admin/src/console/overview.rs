//! The first page: is all well, and if not, what is wrong and what to do.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use journal::{
    MINUTE_MS, RollupFigures, RollupPoint, RollupQuery, RollupSubject, UnfinishedCounts,
};
use runtime::clock::now_ms;

use super::language::PageLanguage;
use super::page::{self, PageFrame, Section};
use super::sparkline::Sparkline;
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use super::{filters, paths, translations};
use crate::api::error::ApiError;
use crate::api::process_view::{InstanceView, SeenPage, TargetView};
use crate::api::state::AdminState;
use crate::api::{doctor, instances, stats, targets};
use crate::doctor::{Facts, Finding, Severity};

/// How many minutes the charts show.
const MINUTES: u64 = 60;
/// How many minutes the figures beside them are of: the present one, and those before it.
const RECENT_MINUTES: usize = 5;

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
    /// The language of the sentences.
    lang: &'static str,
    sentence: String,
    since: Option<When>,
    next: Option<String>,
    /// The page that has more, and its name.
    link: Option<(&'static str, &'static str)>,
}

struct Figure {
    name: &'static str,
    /// `None`: not known.
    value: Option<u64>,
    link: &'static str,
    /// `None`: there is no journal, or it does not answer.
    chart: Option<Sparkline>,
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
    pub(super) targets: Vec<TargetView>,
    pub(super) unfinished: Option<u64>,
    pub(super) dead: Option<u64>,
    /// The minutes of the last hour.
    pub(super) hour: Option<Vec<RollupPoint>>,
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
    let (facts, instances, targets, unfinished, hour) = tokio::join!(
        doctor::facts(state),
        instances::page(state),
        targets::seen(state),
        unfinished,
        hour(state)
    );
    let facts: Facts = facts?;
    let dead = facts.journal.dead_letters.as_ref().ok().map(|it| it.all);
    let view = doctor::view(state, &facts);
    Ok(Overview {
        now: view.now,
        process: view.process,
        findings: view.findings,
        instances,
        targets,
        unfinished,
        dead,
        hour,
    })
}

/// The minutes of the last hour, the present one among them.
async fn hour(state: &AdminState) -> Option<Vec<RollupPoint>> {
    let journal = state.journal.clone()?;
    let until = (now_ms() + 1).next_multiple_of(MINUTE_MS);
    let query = RollupQuery {
        subject: RollupSubject::All,
        from: until.saturating_sub(MINUTES * MINUTE_MS),
        until,
        step: MINUTE_MS,
    };
    let asked = query.clone();
    let found = state.run(async move { Ok(journal.rollup(&asked).await?) });
    found
        .await
        .ok()
        .map(|found| stats::every_step(&query, found))
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
    let hour = overview.hour.as_deref();
    // From the figures that the charts show, where there are any: those of processes begin with them.
    let recent = |of: fn(&RollupFigures) -> u64| {
        let newest = hour?.iter().rev().take(RECENT_MINUTES);
        Some(newest.map(|point| of(&point.figures)).sum::<u64>())
    };
    let calls = || overview.targets.iter().map(|target| &target.last_5_min);
    // Processes tell of requests of the last minute alone.
    let accepted = recent(|it| it.accepted);
    let delivered =
        recent(|it| it.delivered).unwrap_or_else(|| calls().map(|calls| calls.delivered).sum());
    let failing = recent(|it| it.failed).unwrap_or_else(|| {
        calls()
            .flat_map(|calls| calls.rejected.values().chain(calls.failed.values()))
            .sum()
    });
    let chart = |id, name, of: fn(&RollupFigures) -> u64| {
        let counts = hour?.iter().map(|point| of(&point.figures));
        Some(Sparkline::of(id, name, &counts.collect::<Vec<_>>(), t))
    };
    let figure = |(name, value, link), chart| Figure {
        name,
        value,
        link,
        chart,
    };
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
        problems: problems
            .into_iter()
            .map(|it| line(it, now, visit))
            .collect(),
        all: overview
            .findings
            .iter()
            .map(|it| line(it, now, visit))
            .collect(),
        checked: When::of(overview.now, now, t),
        process: overview.process,
        figures: vec![
            figure(
                (t.accepted_figure, accepted, "/console/callbacks"),
                chart("accepted", t.accepted_chart, |it| it.accepted),
            ),
            figure(
                (t.delivered_figure, Some(delivered), "/console/targets"),
                chart("delivered", t.delivered_chart, |it| it.delivered),
            ),
            figure(
                (t.failing_figure, Some(failing), "/console/targets"),
                chart("failed", t.failed_chart, |it| it.failed),
            ),
            figure(
                (
                    t.waiting_figure,
                    overview.unfinished,
                    "/console/callbacks?status=queued%2Cretrying",
                ),
                // How many were unfinished before is not kept; how often they had to wait is.
                chart("deferred", t.deferred_chart, |it| it.deferred),
            ),
            figure(
                (t.dead_figure, overview.dead, "/console/dead-letters"),
                chart("dead", t.dead_chart, |it| it.dead),
            ),
        ],
        warnings: t.say_all(&overview.instances.warnings),
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

/// The page of the console that has more about a check.
fn link(check: &str, t: &'static Texts) -> Option<(&'static str, &'static str)> {
    Some(match check {
        "targets" | "certificates" => (paths::TARGETS, t.targets),
        "pauses" => (paths::PAUSES, t.pauses),
        "dead letters" => (paths::DEAD_LETTERS, t.dead_letters),
        "queues" | "oldest due" => (paths::WAITING, t.waiting),
        "unreadable" => ("/console/unreadable", t.unreadable),
        "settings" => (paths::SETTINGS, t.settings),
        _ => return None,
    })
}

fn line(finding: &Finding, now: u64, visit: &Visit) -> FindingLine {
    let t = visit.texts();
    let chinese = match visit.language {
        PageLanguage::English => (None, None),
        PageLanguage::Chinese => (finding.chinese.clone(), finding.next_chinese.clone()),
    };
    FindingLine {
        class: class(finding.severity),
        word: match finding.severity {
            Severity::Ok => t.severity_ok,
            Severity::Unknown => t.severity_unknown,
            Severity::Warning => t.severity_warning,
            Severity::Failure => t.severity_failure,
        },
        check: translations::check(&finding.check, visit.language),
        lang: match chinese.0 {
            Some(_) => t.html_lang,
            None => "en",
        },
        sentence: chinese.0.unwrap_or_else(|| finding.sentence.clone()),
        link: link(&finding.check, t),
        since: finding.since.map(|at| When::of(at, now, t)),
        next: chinese
            .1
            .or_else(|| finding.next.as_ref().map(ToString::to_string)),
    }
}
