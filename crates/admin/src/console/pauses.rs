//! The pauses in force; pause and resume.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;
use serde::Deserialize;

use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use super::{filters, paths, query};
use crate::api::bulk_request::Actor;
use crate::api::error::ApiError;
use crate::api::pauses::{self, SELECTORS};
use crate::api::state::AdminState;
use crate::api::view::PauseView;
use crate::config::Role;
use crate::doctor::said::say;

/// How many are on the page.
const MAX_LISTED: usize = 100;

#[derive(Template)]
#[template(path = "console/pauses.html")]
pub(super) struct PausesPage {
    frame: PageFrame,
    t: &'static Texts,
    lines: Vec<PauseLine>,
    /// What can be paused: the value of the field, and the word.
    kinds: [(&'static str, &'static str); 6],
    may_change: bool,
    needs_name: bool,
}

struct PauseLine {
    view: PauseView,
    kind: &'static str,
    /// What the form sends.
    value: &'static str,
    name: String,
    since: When,
}

/// What is to be paused or resumed, by whom and why.
#[derive(Deserialize)]
pub(super) struct PauseForm {
    act: String,
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    reason: String,
    /// The page that the form is on.
    #[serde(default)]
    next: String,
}

/// `GET /console/pauses`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let views = pauses::views(&state).await;
    page::answer(&visit, views.map(|views| render(&visit, views)))
}

/// `POST /console/pauses`
pub(super) async fn change(
    state: Data<AdminState>,
    http: HttpRequest,
    form: Form<PauseForm>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let form = form.into_inner();
    let next = query::own_path(&form.next)
        .unwrap_or(paths::PAUSES)
        .to_owned();
    match changed(&state, &visit, form).await {
        Ok(()) => HttpResponse::SeeOther()
            .insert_header((LOCATION, next))
            .finish(),
        Err(problem) => page::error(&visit, &problem),
    }
}

async fn changed(state: &AdminState, visit: &Visit, form: PauseForm) -> Result<(), ApiError> {
    let operator = visit.operator.as_ref();
    if !operator.is_some_and(|operator| operator.may(Role::Configure)) {
        return Err(ApiError::Forbidden(Role::Configure));
    }
    let token_name = operator.and_then(|it| it.name.as_deref());
    let actor = Some(form.actor).filter(|actor| !actor.trim().is_empty());
    let actor = Actor::new(actor, Some(form.reason), token_name)?;
    let (selector, value) = selector(&form.kind, &form.name);
    let selectors = SELECTORS.map(|one| (one == selector).then(|| value.to_owned()));
    match &*form.act {
        "pause" => pauses::begin(state, selectors, actor).await.map(drop),
        "resume" => pauses::end(state, selectors, actor).await.map(drop),
        _ => Err(ApiError::parameter(say!(
            "act must be pause or resume",
            "操作只能是 pause 或 resume"
        ))),
    }
}

/// The selector of the API, and its value.
fn selector<'a>(kind: &'a str, name: &'a str) -> (&'a str, &'a str) {
    match kind {
        "intake" | "deliveries" => ("switch", kind),
        _ => (kind, name.trim()),
    }
}

pub(super) fn render(visit: &Visit, views: Vec<PauseView>) -> PausesPage {
    let (t, now) = (visit.texts(), now_ms());
    let operator = visit.operator.as_ref();
    PausesPage {
        frame: PageFrame::new(visit, Section::Pauses),
        t,
        lines: views
            .into_iter()
            .take(MAX_LISTED)
            .map(|view| line(view, now, t))
            .collect(),
        kinds: [
            ("callee_no", t.callee),
            ("target", t.target),
            ("app_id", t.app),
            ("message_type", t.message_type),
            ("intake", t.intake),
            ("deliveries", t.deliveries),
        ],
        may_change: operator.is_some_and(|operator| operator.may(Role::Configure)),
        needs_name: operator.is_none_or(|operator| operator.name.is_none()),
    }
}

fn line(view: PauseView, now: u64, t: &Texts) -> PauseLine {
    let (value, kind, name) = match &*view.kind {
        "callee" => ("callee_no", t.callee, view.callee_no.clone()),
        "target" => ("target", t.target, view.target.clone()),
        "app" => ("app_id", t.app, view.app_id.clone()),
        "message_type" => ("message_type", t.message_type, view.message_type.clone()),
        "intake" => ("intake", t.intake, None),
        _ => ("deliveries", t.deliveries, None),
    };
    PauseLine {
        since: When::of(view.paused_at, now, t),
        name: name.unwrap_or_default(),
        kind,
        value,
        view,
    }
}
