//! The callbacks: a list with a filter, and one of them with its time line and, for the right role, its
//! message and what its target answered.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use contract::CallbackStatus;
use runtime::clock::now_ms;
use serde::Deserialize;

use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use super::{acts, paths, query};
use crate::api::bulk_request::Actor;
use crate::api::callbacks;
use crate::api::error::ApiError;
use crate::api::payload;
use crate::api::state::AdminState;
use crate::api::view::{AnswerView, AttemptView, CallbackView, ItemsPage, PayloadView};
use crate::config::Role;

/// How many are on a page.
pub(super) const PAGE: u32 = 50;
/// How many attempts of one callback are shown: the last ones.
const MAX_ATTEMPTS: usize = 100;

/// The fields of the filter, as they were sent.
pub(super) struct FilterForm {
    pub(super) app_id: String,
    pub(super) callee_no: String,
    pub(super) target: String,
    pub(super) message_type: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) http_status: String,
    pub(super) since: String,
    pub(super) until: String,
}

impl FilterForm {
    pub(super) fn of(query: &str) -> Self {
        let value = |key| query::value(query, key).unwrap_or_default();
        Self {
            app_id: value("app_id"),
            callee_no: value("callee_no"),
            target: value("target"),
            message_type: value("message_type"),
            status: value("status"),
            reason: value("reason"),
            http_status: value("http_status"),
            since: value("since"),
            until: value("until"),
        }
    }
}

/// A choice of the field `status`.
struct StatusChoice {
    value: &'static str,
    word: &'static str,
    is_chosen: bool,
}

/// A callback in a list.
pub(super) struct CallbackLine {
    pub(super) view: CallbackView,
    pub(super) status: &'static str,
    pub(super) class: &'static str,
    pub(super) accepted: When,
    pub(super) updated: When,
    pub(super) next_attempt: Option<When>,
    /// Its callee with its name, or else its target.
    pub(super) destination: String,
}

impl CallbackLine {
    pub(super) fn of(view: CallbackView, now: u64, t: &Texts) -> Self {
        Self {
            status: t.status_word(view.status),
            class: class(view.status),
            accepted: When::of(view.created_at, now, t),
            updated: When::of(view.updated_at, now, t),
            next_attempt: view.next_attempt_at.map(|at| When::of(at, now, t)),
            destination: match (&view.callee_no, &view.callee_name) {
                (Some(no), Some(name)) => format!("{name} {no}"),
                (Some(no), None) => no.clone(),
                (None, _) => view.target.clone(),
            },
            view,
        }
    }
}

const fn class(status: CallbackStatus) -> &'static str {
    match status {
        CallbackStatus::Delivered => "good",
        CallbackStatus::Dead | CallbackStatus::Expired => "failure",
        CallbackStatus::Retrying | CallbackStatus::Unaccounted => "warning",
        CallbackStatus::Queued | CallbackStatus::Delivering | CallbackStatus::Cancelled => {
            "unknown"
        }
    }
}

#[derive(Template)]
#[template(path = "console/callbacks.html")]
pub(super) struct CallbacksPage {
    frame: PageFrame,
    t: &'static Texts,
    form: FilterForm,
    statuses: Vec<StatusChoice>,
    lines: Vec<CallbackLine>,
    next: Option<String>,
    is_first: bool,
}

#[derive(Template)]
#[template(path = "console/callback.html")]
pub(super) struct CallbackPageView {
    frame: PageFrame,
    t: &'static Texts,
    line: CallbackLine,
    attempts: Vec<(When, AttemptView)>,
    /// How many attempts are not shown.
    earlier: usize,
    /// What can be done to it: the end of the path, and the word.
    acts: Vec<(&'static str, &'static str)>,
    may_act: bool,
    may_look: bool,
    needs_name: bool,
    payload: Option<PayloadLines>,
}

/// What only the role `payload` sees.
struct PayloadLines {
    message: Option<String>,
    answers: Vec<(When, AnswerView)>,
}

/// Who looks, and why.
#[derive(Deserialize)]
pub(super) struct LookForm {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    reason: String,
}

/// `GET /console/callbacks`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let query = http.query_string();
    let found = callbacks::page(&state, &query::of_list(query, PAGE)).await;
    page::answer(&visit, found.map(|found| render_list(&visit, query, found)))
}

pub(super) fn render_list(
    visit: &Visit,
    query: &str,
    found: ItemsPage<CallbackView>,
) -> CallbacksPage {
    let (t, now) = (visit.texts(), now_ms());
    let form = FilterForm::of(query);
    let choice = |value, word| StatusChoice {
        value,
        word,
        is_chosen: form.status == value,
    };
    CallbacksPage {
        frame: PageFrame::new(visit, Section::Callbacks),
        t,
        statuses: vec![
            choice("queued", t.status_queued),
            choice("retrying", t.status_retrying),
            choice("queued,retrying", t.waits),
            choice("due", t.due),
            choice("delivered", t.status_delivered),
            choice("dead", t.status_dead),
            choice("expired", t.status_expired),
            choice("cancelled", t.status_cancelled),
            choice("unaccounted", t.status_unaccounted),
        ],
        form,
        next: found.next.map(|next| query::page_after(query, Some(&next))),
        is_first: query::value(query, "after").is_none(),
        lines: lines(found.items, now, t),
    }
}

pub(super) fn lines(items: Vec<CallbackView>, now: u64, t: &Texts) -> Vec<CallbackLine> {
    let items = items.into_iter();
    items.map(|view| CallbackLine::of(view, now, t)).collect()
}

/// `GET /console/callbacks/find?id=`: to the callback of this id, or of its first digits.
pub(super) async fn find(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let id = query::value(http.query_string(), "id").unwrap_or_default();
    match state.request_id(&id).await {
        Ok(id) => HttpResponse::SeeOther()
            .insert_header((LOCATION, format!("{}/{id}", paths::CALLBACKS)))
            .finish(),
        Err(problem) => page::error(&visit, &problem),
    }
}

/// `GET /console/callbacks/{id}`
pub(super) async fn show(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let view = callbacks::view(&state, &id).await;
    page::answer(&visit, view.map(|view| render(&visit, view, None)))
}

/// `POST /console/callbacks/{id}/payload`: the same page with the message and the answers.
pub(super) async fn look(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
    form: Form<LookForm>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let shown = shown(&state, &visit, &id, form.into_inner()).await;
    page::answer(
        &visit,
        shown.map(|(view, payload)| render(&visit, view, Some(payload))),
    )
}

async fn shown(
    state: &AdminState,
    visit: &Visit,
    id: &str,
    form: LookForm,
) -> Result<(CallbackView, PayloadView), ApiError> {
    let operator = visit.operator.as_ref();
    if !operator.is_some_and(|operator| operator.may(Role::Payload)) {
        return Err(ApiError::Forbidden(Role::Payload));
    }
    let token_name = operator.and_then(|operator| operator.name.as_deref());
    let actor = Some(form.actor).filter(|actor| !actor.trim().is_empty());
    let actor = Actor::new(actor, Some(form.reason), token_name)?;
    let view = callbacks::view(state, id).await?;
    let payload = payload::look(state, id, actor).await?;
    Ok((view, payload))
}

pub(super) fn render(
    visit: &Visit,
    mut view: CallbackView,
    payload: Option<PayloadView>,
) -> CallbackPageView {
    let (t, now) = (visit.texts(), now_ms());
    let mut attempts = std::mem::take(&mut view.attempts);
    let earlier = attempts.len().saturating_sub(MAX_ATTEMPTS);
    attempts.drain(..earlier);
    let operator = visit.operator.as_ref();
    let status = view.status;
    let payload = payload.map(|payload| PayloadLines {
        message: payload.message.map(|message| pretty(message.get())),
        answers: payload
            .answers
            .into_iter()
            .rev()
            .take(MAX_ATTEMPTS)
            .map(|answer| (When::of(answer.started_at, now, t), answer))
            .collect(),
    });
    CallbackPageView {
        frame: PageFrame::new(visit, Section::Callbacks),
        t,
        line: CallbackLine::of(view, now, t),
        attempts: attempts
            .into_iter()
            .map(|attempt| (When::of(attempt.started_at, now, t), attempt))
            .collect(),
        earlier,
        acts: acts::possible(status, t),
        may_act: operator.is_some_and(|operator| operator.may(Role::Replay)),
        may_look: operator.is_some_and(|operator| operator.may(Role::Payload)),
        needs_name: operator.is_none_or(|operator| operator.name.is_none()),
        payload,
    }
}

/// The queue message with its members on lines of their own; whatever is no JSON stays as it is.
fn pretty(json: &str) -> String {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(json);
    let pretty = parsed
        .ok()
        .and_then(|it| serde_json::to_string_pretty(&it).ok());
    pretty.unwrap_or_else(|| json.to_owned())
}
