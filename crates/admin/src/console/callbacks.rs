//! The callbacks: a list with a filter, and one of them with its time line and, for the right role, its
//! message and what its target answered.

use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use contract::CallbackStatus;
use runtime::clock::now_ms;
use serde::Deserialize;

use super::language::PageLanguage;
use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use super::{acts, curl, filters, links, paths, query};
use crate::api::bulk_request::Actor;
use crate::api::callbacks::{self, ListedPage};
use crate::api::error::ApiError;
use crate::api::explain::deferral_reason;
use crate::api::operations::OperationAct;
use crate::api::payload;
use crate::api::state::AdminState;
use crate::api::view::{AnswerView, AttemptView, CallbackView, PayloadView};
use crate::config::Role;

/// How many are on a page.
pub(super) const PAGE: u32 = 50;
/// How many attempts of one callback are shown: the last ones.
const MAX_ATTEMPTS: usize = 100;

/// The fields of the form.
const FIELDS: [&str; 8] = [
    "app_id",
    "callee_no",
    "target",
    "message_type",
    "status",
    "http_status",
    "since",
    "until",
];

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
    /// Conditions that are no fields of the form.
    pub(super) others: Vec<(String, String)>,
}

impl FilterForm {
    /// `fields`: those that the form shows.
    pub(super) fn of(query: &str, fields: &[&str]) -> Self {
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
            others: links::others(query, fields),
        }
    }
}

/// A choice of the field `status`.
#[derive(Clone)]
struct StatusChoice {
    value: String,
    word: String,
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
    /// What it waits for, if it waits.
    pub(super) waits_for: Option<String>,
    /// Its callee with its name, or else its target.
    pub(super) destination: String,
    /// Whether one of the list has a cause: a column without any is left out.
    pub(super) list_has_causes: bool,
}

impl CallbackLine {
    pub(super) fn of(mut view: CallbackView, now: u64, t: &Texts) -> Self {
        view.last_cause = view.last_cause.map(|cause| t.stored(&cause));
        Self {
            waits_for: waits_for(&view, t),
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
            list_has_causes: view.last_cause.is_some(),
            view,
        }
    }
}

/// What an unfinished callback waits for, as far as the journal knows.
fn waits_for(view: &CallbackView, t: &Texts) -> Option<String> {
    match view.status {
        CallbackStatus::Queued | CallbackStatus::Retrying => {}
        _ => return None,
    }
    let is_due = view.due_since.is_some();
    Some(match (&view.deferred_reason, view.next_attempt_at) {
        (Some(reason), _) => {
            let why = t.say(&deferral_reason(reason));
            match is_due {
                true => format!("{} {why}", t.due_after_deferral),
                false => format!("{} {why}", t.deferred_because),
            }
        }
        // Accepted or replayed, and nothing recorded since: next in line, or deferred a moment ago.
        (None, None) => t.waits_for_unknown.to_owned(),
        (None, Some(_)) if is_due => t.wait_due.to_owned(),
        (None, Some(_)) if view.status == CallbackStatus::Retrying => t.wait_retrying.to_owned(),
        (None, Some(_)) => t.wait_delayed.to_owned(),
    })
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
    /// What can be done to all that match: the link, and the word.
    acts: Vec<(String, &'static str)>,
    lines: Vec<CallbackLine>,
    next: Option<String>,
    /// The look ended here before the page was full.
    looked_back_to: Option<When>,
    is_first: bool,
}

#[derive(Template)]
#[template(path = "console/callback.html")]
pub(super) struct CallbackPageView {
    frame: PageFrame,
    t: &'static Texts,
    line: CallbackLine,
    attempts: Vec<AttemptLine>,
    /// Why it waits or has ended, with the language of the sentences.
    explanation: (&'static str, String),
    /// The replay that no attempt has followed yet, by its number.
    last_replay: Option<u32>,
    /// Its target's page.
    target: String,
    /// The command that repeats it by hand.
    curl: String,
    trace: Option<TraceLine>,
    /// How many attempts are not shown.
    earlier: usize,
    /// Whether one of the attempts has a cause: a column without any is left out.
    has_causes: bool,
    /// What can be done to it: the end of the path, and the word.
    acts: Vec<(&'static str, &'static str)>,
    may_act: bool,
    may_look: bool,
    needs_name: bool,
    payload: Option<PayloadLines>,
}

/// Its trace.
pub(super) struct TraceLine {
    pub(super) id: String,
    /// Its page, if the settings say where traces are shown.
    pub(super) link: Option<String>,
}

impl TraceLine {
    async fn of(state: &AdminState, request_id: uuid::Uuid) -> Result<Option<Self>, ApiError> {
        let id = callbacks::trace_id(state, request_id).await?;
        Ok(id.map(|id| Self {
            link: state.shown.trace_link(&id),
            id,
        }))
    }
}

/// An attempt in the time line.
struct AttemptLine {
    at: When,
    view: AttemptView,
    /// Why it failed, in words.
    cause: Option<String>,
    /// The replay that it is the first attempt of, by its number.
    replay: Option<u32>,
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

pub(super) fn render_list(visit: &Visit, query: &str, listed: ListedPage) -> CallbacksPage {
    let ListedPage {
        page: found,
        looked_back_to,
    } = listed;
    let (t, now) = (visit.texts(), now_ms());
    let form = FilterForm::of(query, &FIELDS);
    let mut statuses = [
        ("queued", t.status_queued),
        ("retrying", t.status_retrying),
        ("queued,retrying", t.waits),
        ("due", t.due),
        ("delivered", t.status_delivered),
        ("dead", t.status_dead),
        ("expired", t.status_expired),
        ("cancelled", t.status_cancelled),
        ("unaccounted", t.status_unaccounted),
    ]
    .map(|(value, word)| StatusChoice {
        value: value.to_owned(),
        word: word.to_owned(),
        is_chosen: form.status == value,
    })
    .to_vec();
    // Several of them, from a link.
    if !form.status.is_empty() && !statuses.iter().any(|choice| choice.is_chosen) {
        statuses.push(StatusChoice {
            value: form.status.clone(),
            word: form.status.clone(),
            is_chosen: true,
        });
    }
    let operator = visit.operator.as_ref();
    let may_act = operator.is_some_and(|operator| operator.may(Role::Replay));
    let acts = acts_on_all(&form, query).iter().filter(|_| may_act);
    let filter = links::with(query, &[]);
    CallbacksPage {
        frame: PageFrame::new(visit, Section::Callbacks),
        t,
        statuses,
        acts: acts
            .map(|act| {
                let path = format!("{}/{}", paths::BULK, act.as_str());
                (links::joined(&path, &filter), t.act_word(*act))
            })
            .collect(),
        form,
        next: found.next.map(|next| query::page_after(query, Some(&next))),
        looked_back_to: looked_back_to.map(|at| When::of(at, now, t)),
        is_first: query::value(query, "after").is_none(),
        lines: lines(found.items, now, t),
    }
}

/// What can be done to all that match this filter, by its status.
fn acts_on_all(form: &FilterForm, query: &str) -> &'static [OperationAct] {
    let of_dead_letters = ["reason", "dead_since", "dead_until"];
    if of_dead_letters
        .iter()
        .any(|key| query::value(query, key).is_some())
    {
        return &[];
    }
    let mut statuses = form.status.split(',').map(str::trim);
    match &*form.status {
        "" | "queued" | "retrying" | "due" | "queued,retrying" | "retrying,queued" => {
            &[OperationAct::RetryNow, OperationAct::Cancel]
        }
        "unaccounted" => &[OperationAct::Cancel],
        _ if statuses.all(|it| matches!(it, "delivered" | "dead" | "expired")) => {
            &[OperationAct::Replay]
        }
        _ => &[],
    }
}

pub(super) fn lines(items: Vec<CallbackView>, now: u64, t: &Texts) -> Vec<CallbackLine> {
    let has_causes = items.iter().any(|view| view.last_cause.is_some());
    let items = items.into_iter().map(|view| CallbackLine {
        list_has_causes: has_causes,
        ..CallbackLine::of(view, now, t)
    });
    items.collect()
}

/// `GET /console/callbacks/{id}`
pub(super) async fn show(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let found = async {
        let view = callbacks::view(&state, &id).await?;
        let trace = TraceLine::of(&state, view.request_id).await?;
        Ok(render(&visit, view, trace, None))
    };
    page::answer(&visit, found.await)
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
        shown.map(|(view, trace, payload)| render(&visit, view, trace, Some(payload))),
    )
}

async fn shown(
    state: &AdminState,
    visit: &Visit,
    id: &str,
    form: LookForm,
) -> Result<(CallbackView, Option<TraceLine>, PayloadView), ApiError> {
    let operator = visit.operator.as_ref();
    if !operator.is_some_and(|operator| operator.may(Role::Payload)) {
        return Err(ApiError::Forbidden(Role::Payload));
    }
    let token_name = operator.and_then(|operator| operator.name.as_deref());
    let actor = Some(form.actor).filter(|actor| !actor.trim().is_empty());
    let actor = Actor::new(actor, Some(form.reason), token_name)?;
    let view = callbacks::view(state, id).await?;
    let trace = TraceLine::of(state, view.request_id).await?;
    let payload = payload::look(state, id, actor).await?;
    Ok((view, trace, payload))
}

pub(super) fn render(
    visit: &Visit,
    mut view: CallbackView,
    trace: Option<TraceLine>,
    payload: Option<PayloadView>,
) -> CallbackPageView {
    let (t, now) = (visit.texts(), now_ms());
    let mut attempts = std::mem::take(&mut view.attempts);
    let earlier = attempts.len().saturating_sub(MAX_ATTEMPTS);
    let mut generation = attempts
        .drain(..earlier)
        .next_back()
        .map_or(0, |attempt| attempt.generation);
    let attempts: Vec<AttemptLine> = attempts
        .into_iter()
        .map(|attempt| {
            let is_first = attempt.generation > generation;
            generation = attempt.generation;
            AttemptLine {
                at: When::of(attempt.started_at, now, t),
                replay: is_first.then_some(generation),
                cause: attempt
                    .cause
                    .as_ref()
                    .or(attempt.detail.as_ref())
                    .map(|cause| t.stored(cause)),
                view: attempt,
            }
        })
        .collect();
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
        explanation: match (visit.language, view.explanation_zh.take()) {
            (PageLanguage::Chinese, Some(chinese)) => (t.html_lang, chinese),
            _ => ("en", view.explanation.clone()),
        },
        last_replay: (view.generation > generation).then_some(view.generation),
        target: match (&view.callback_url, &view.callee_no) {
            (None, Some(no)) => links::to(paths::TARGET, &[("callee_no", no)]),
            _ => links::to(paths::TARGET, &[("target", &view.target)]),
        },
        curl: curl::command(&view),
        trace,
        line: CallbackLine::of(view, now, t),
        has_causes: attempts.iter().any(|attempt| attempt.cause.is_some()),
        attempts,
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
