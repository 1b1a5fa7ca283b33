//! The operations of this process: acts on many callbacks, how far they are, and a way to stop them.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;
use serde::Deserialize;
use uuid::Uuid;

use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::{When, span};
use super::{filters, paths};
use crate::api::bulk_request::Actor;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::operations;
use crate::api::operations::registry::{OperationState, OperationView};
use crate::api::state::AdminState;
use crate::config::Role;
use crate::doctor::said::say;

/// How often the page of a running operation refreshes.
const PROGRESS_SECONDS: u8 = 2;

#[derive(Template)]
#[template(path = "console/operations.html")]
pub(super) struct OperationsPage {
    frame: PageFrame,
    t: &'static Texts,
    lines: Vec<OperationLine>,
    process: String,
}

#[derive(Template)]
#[template(path = "console/operation.html")]
pub(super) struct OperationPage {
    frame: PageFrame,
    t: &'static Texts,
    line: OperationLine,
    may_stop: bool,
    needs_name: bool,
    process: String,
}

/// An operation.
struct OperationLine {
    view: OperationView,
    name: &'static str,
    done: u64,
    is_running: bool,
    class: &'static str,
    word: &'static str,
    /// Why a step failed.
    problem: Option<String>,
    /// How long the rest takes.
    left: String,
    started: When,
    ended: Option<When>,
}

impl OperationLine {
    fn of(mut view: OperationView, now: u64, t: &Texts) -> Self {
        view.subject = t.subject(&view.subject);
        let (class, word) = match &view.state {
            OperationState::Running => ("unknown", t.operation_running),
            OperationState::Done => ("good", t.operation_done),
            OperationState::Stopped => ("warning", t.operation_stopped),
            OperationState::Revoked => ("failure", t.operation_revoked),
            OperationState::Failed(_) => ("failure", t.operation_failed),
        };
        Self {
            name: t.act_word(view.act),
            done: view.done(),
            is_running: view.state == OperationState::Running,
            class,
            word,
            problem: match &view.state {
                OperationState::Failed(problem) => Some(t.say(&problem.said())),
                _ => None,
            },
            left: span(view.left_s(), t),
            started: When::of(view.started_at, now, t),
            ended: view.ended_at.map(|at| When::of(at, now, t)),
            view,
        }
    }
}

/// Who stops an operation, and why. Both may be left out: a stop must not take time.
#[derive(Deserialize)]
pub(super) struct StopForm {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    reason: String,
}

/// `GET /console/operations`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let page = render_list(
        &visit,
        state.operations.list(),
        state.doctor.process.clone(),
    );
    page::answer(&visit, Ok(page))
}

pub(super) fn render_list(
    visit: &Visit,
    views: Vec<OperationView>,
    process: String,
) -> OperationsPage {
    let (t, now) = (visit.texts(), now_ms());
    OperationsPage {
        frame: PageFrame::new(visit, Section::Operations),
        t,
        lines: views
            .into_iter()
            .map(|view| OperationLine::of(view, now, t))
            .collect(),
        process,
    }
}

/// `GET /console/operations/{id}`
pub(super) async fn show(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let found = read(&id).and_then(|id| state.operations.view(id));
    let process = state.doctor.process.clone();
    page::answer(&visit, found.map(|view| render(&visit, view, process)))
}

pub(super) fn render(visit: &Visit, view: OperationView, process: String) -> OperationPage {
    let (t, now) = (visit.texts(), now_ms());
    let operator = visit.operator.as_ref();
    let line = OperationLine::of(view, now, t);
    let frame = PageFrame::new(visit, Section::Operations);
    OperationPage {
        frame: match line.is_running {
            true => frame.refreshing_every(PROGRESS_SECONDS),
            false => frame,
        },
        t,
        line,
        may_stop: operator.is_some_and(|operator| operator.may(Role::Replay)),
        needs_name: operator.is_none_or(|operator| operator.name.is_none()),
        process,
    }
}

/// `POST /console/operations/{id}/stop`
pub(super) async fn stop(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
    form: Form<StopForm>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let operator = visit.operator.as_ref();
    let stopped = match operator.is_some_and(|operator| operator.may(Role::Replay)) {
        true => read(&id).and_then(|id| Ok((id, state.operations.stop(id)?))),
        false => Err(ApiError::Forbidden(Role::Replay)),
    };
    match stopped {
        Ok((id, stopped)) => {
            if let Some(stopped) = stopped {
                let name = operator.and_then(|operator| operator.name.as_deref());
                let StopForm { actor, reason } = form.into_inner();
                let actor = Actor::who_stops(&actor, reason, name);
                operations::record_stop(&state, &stopped, actor).await;
            }
            HttpResponse::SeeOther()
                .insert_header((LOCATION, format!("{}/{id}", paths::OPERATIONS)))
                .finish()
        }
        Err(problem) => page::error(&visit, &problem),
    }
}

fn read(id: &str) -> Result<Uuid, ApiError> {
    Uuid::try_parse(id).map_err(|_| {
        ApiError::rejected(
            ProblemCode::UnknownRoute,
            say!("this is not the id of an operation", "这不是批量操作的 ID"),
        )
    })
}
