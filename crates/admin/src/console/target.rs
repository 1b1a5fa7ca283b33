//! One callee or target: whether it takes calls, what waits for it and why, what went wrong, and its day.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use delivery::limits::LimitKey;
use journal::{CallbackGroups, GroupBy, GroupKey, GroupLook};
use runtime::clock::now_ms;

use super::chart::Chart;
use super::groups::{self, CountEnd, GroupLine, GroupSource};
use super::page::{self, PageFrame, Section};
use super::targets::{TargetLine, Unfinished};
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use super::{filters, links, paths, query};
use crate::api::bulk::expedite;
use crate::api::error::ApiError;
use crate::api::groups::{GroupScope, of as grouped};
use crate::api::operations::OperationAct;
use crate::api::state::AdminState;
use crate::api::stats_view::StatsView;
use crate::api::targets::{self, OneTarget};
use crate::api::view::PauseView;
use crate::api::{pauses, stats};
use crate::config::Role;

#[derive(Template)]
#[template(path = "console/target.html")]
pub(super) struct TargetPage {
    frame: PageFrame,
    t: &'static Texts,
    title: String,
    /// The selector of a pause, and its value.
    kind: &'static str,
    name: String,
    /// What its processes say; `None`: they have not called it.
    seen: Option<SeenLine>,
    unfinished: Option<Unfinished>,
    next_attempt: Option<When>,
    pause: Option<(When, PauseView)>,
    waits: Vec<GroupLine>,
    /// Where the count of what waits ended.
    waits_end: Option<CountEnd>,
    errors: Vec<GroupLine>,
    /// Where the count of the errors ended.
    errors_end: Option<CountEnd>,
    chart: Option<Chart>,
    /// What can be done to all that concerns it: the link, and the word.
    acts: Vec<(String, &'static str)>,
    callbacks: String,
    dead_letters: String,
    here: String,
    may_act: bool,
    may_change: bool,
    needs_name: bool,
    warnings: Vec<String>,
}

/// What its processes say.
struct SeenLine {
    line: TargetLine,
    in_flight: u32,
    slots: Option<u32>,
    /// To a tenth of a millisecond.
    p50_ms: Option<String>,
    p99_ms: Option<String>,
}

/// What the page is made of.
pub(super) struct TargetParts {
    pub(super) key: LimitKey,
    pub(super) one: OneTarget,
    pub(super) pause: Option<PauseView>,
    /// `None`: there is no journal, or it does not answer.
    pub(super) waits: Option<CallbackGroups>,
    pub(super) errors: Option<CallbackGroups>,
    pub(super) day: Option<StatsView>,
    /// How far what waits and the errors were counted.
    pub(super) look: GroupLook,
}

/// `GET /console/targets/one?callee_no=|target=`
pub(super) async fn show(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let parts = gather(&state, http.query_string()).await;
    page::answer(&visit, parts.map(|parts| render(&visit, parts)))
}

async fn gather(state: &AdminState, asked: &str) -> Result<TargetParts, ApiError> {
    let value = |key| query::value(asked, key);
    let key = expedite::key(state, value("callee_no"), value("target"))?;
    let (kind, name) = selector(&key);
    let look = groups::look(asked);
    let query = links::with("", &[(kind, &name)]);
    let of_stats = match &key {
        LimitKey::Callee(_) => links::with("", &[("callee", &name), ("step", "1h")]),
        LimitKey::Target(_) => links::with("", &[("target", &name), ("step", "1h")]),
    };
    let (one, pauses, waits, errors, day) = tokio::join!(
        targets::one(state, &key),
        pauses::views(state),
        grouped(state, &query, GroupScope::Waiting, GroupBy::Wait, look),
        grouped(
            state,
            &query,
            GroupScope::Undelivered,
            GroupBy::LastAttempt,
            look
        ),
        stats::view(state, &of_stats)
    );
    let mut pauses = pauses?.into_iter();
    let is_it = |pause: &PauseView| match &key {
        LimitKey::Callee(_) => pause.callee_no.as_deref() == Some(&*name),
        LimitKey::Target(_) => pause.target.as_deref() == Some(&*name),
    };
    Ok(TargetParts {
        pause: pauses.find(is_it),
        one: one?,
        waits: waits.ok(),
        errors: errors.ok(),
        day: day.ok(),
        key,
        look,
    })
}

fn selector(key: &LimitKey) -> (&'static str, String) {
    match key {
        LimitKey::Callee(no) => ("callee_no", no.to_string()),
        LimitKey::Target(target) => ("target", target.to_string()),
    }
}

pub(super) fn render(visit: &Visit, parts: TargetParts) -> TargetPage {
    let (t, now) = (visit.texts(), now_ms());
    let (kind, name) = selector(&parts.key);
    let query = links::with("", &[(kind, &name)]);
    let operator = visit.operator.as_ref();
    let may_act = operator.is_some_and(|operator| operator.may(Role::Replay));
    let source = |list| GroupSource {
        list,
        query: &query,
        may_act,
    };
    let undelivered = links::with(&query, &[("status", "queued,retrying,dead,expired")]);
    let of_errors = GroupSource {
        query: &undelivered,
        ..source(paths::CALLBACKS)
    };
    let errors = parts.errors.map(|mut errors| {
        errors.groups.retain(|group| match &group.key {
            GroupKey::LastAttempt { outcome, .. } => outcome.is_some(),
            _ => true,
        });
        let end = CountEnd::of(&errors, false, (paths::TARGET, &query), parts.look, t);
        (groups::lines(errors, &of_errors, now, t), end)
    });
    let (errors, errors_end) = errors.unwrap_or_default();
    let act = |act: OperationAct, word: &'static str| {
        let path = format!("{}/{}", paths::BULK, act.as_str());
        (links::joined(&path, &query), word)
    };
    TargetPage {
        frame: PageFrame::new(visit, Section::Targets),
        t,
        title: match &parts.one.name {
            Some(callee) => format!("{callee} {name}"),
            None => name.clone(),
        },
        seen: parts.one.seen.map(|seen| SeenLine {
            in_flight: seen.in_flight,
            slots: seen.slots,
            p50_ms: seen.p50_ms.map(|ms| format!("{ms:.1}")),
            p99_ms: seen.p99_ms.map(|ms| format!("{ms:.1}")),
            line: TargetLine::of(seen, now, t),
        }),
        next_attempt: parts
            .one
            .unfinished
            .as_ref()
            .and_then(|it| it.next_attempt_at)
            .map(|at| When::of(at, now, t)),
        unfinished: parts
            .one
            .unfinished
            .map(|unfinished| Unfinished::of(&unfinished, now, t)),
        pause: parts
            .pause
            .map(|pause| (When::of(pause.paused_at, now, t), pause)),
        waits_end: parts
            .waits
            .as_ref()
            .and_then(|waits| CountEnd::of(waits, true, (paths::TARGET, &query), parts.look, t)),
        waits: parts.waits.map_or_else(Vec::new, |waits| {
            groups::lines(waits, &source(paths::CALLBACKS), now, t)
        }),
        errors,
        errors_end,
        chart: parts.day.map(|day| Chart::of(&day, now, t)),
        acts: match may_act {
            true => vec![
                act(OperationAct::Expedite, t.act_expedite),
                act(OperationAct::Cancel, t.cancel_waiting),
                act(OperationAct::ReplayDead, t.act_replay_dead),
            ],
            false => Vec::new(),
        },
        callbacks: links::joined(paths::CALLBACKS, &query),
        dead_letters: links::joined(paths::DEAD_LETTER_GROUPS, &query),
        here: links::joined(paths::TARGET, &query),
        kind,
        name,
        may_act,
        may_change: operator.is_some_and(|operator| operator.may(Role::Configure)),
        needs_name: operator.is_none_or(|operator| operator.name.is_none()),
        warnings: t.say_all(&parts.one.warnings),
    }
}
