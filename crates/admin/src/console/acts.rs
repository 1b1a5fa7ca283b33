//! Acts on one callback: retry now, cancel and replay. First the dry run with a form, then the act.

use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use contract::CallbackStatus;
use serde::Deserialize;
use uuid::Uuid;

use super::filters;
use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::translations;
use super::visit::Visit;
use crate::api::bulk::{self, CallbackAct};
use crate::api::bulk_request::Actor;
use crate::api::bulk_view::{BulkView, NotChanged};
use crate::api::error::{ApiError, ProblemCode};
use crate::api::request_ids::WrittenId;
use crate::api::state::AdminState;
use crate::config::Role;
use crate::doctor::said::say;

#[derive(Template)]
#[template(path = "console/act.html")]
pub(super) struct ActPage {
    frame: PageFrame,
    t: &'static Texts,
    id: Uuid,
    path: &'static str,
    name: &'static str,
    /// Its class in the style sheet, and what is so.
    class: &'static str,
    sentence: &'static str,
    /// Why it cannot be done, by the API.
    detail: Option<String>,
    asks: bool,
    needs_name: bool,
}

/// Who acts, and why.
#[derive(Deserialize)]
pub(super) struct ActForm {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    reason: String,
}

/// `GET /console/callbacks/{id}/{act}`: the dry run.
pub(super) async fn preview(
    state: Data<AdminState>,
    http: HttpRequest,
    path: Path<(String, String)>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let found = async {
        let (id, act) = read(&visit, &path)?;
        let counted = bulk::preview_of_one(&state, act, id).await?;
        let t = visit.texts();
        let possible = counted.matched > 0;
        let (class, sentence) = match possible {
            true => ("unknown", t.act_possible),
            false => ("warning", t.act_impossible),
        };
        let detail = detail(&visit, counted.not_changed);
        Ok(render(
            &visit,
            (id, act),
            (class, sentence),
            detail,
            possible,
        ))
    };
    page::answer(&visit, found.await)
}

/// `POST /console/callbacks/{id}/{act}`
pub(super) async fn act(
    state: Data<AdminState>,
    http: HttpRequest,
    path: Path<(String, String)>,
    form: Form<ActForm>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    let done = async {
        let (id, act) = read(&visit, &path)?;
        let actor = actor(&visit, form.into_inner())?;
        let done = bulk::act_on_one(&state, act, id, actor).await?;
        let said = outcome(&done, visit.texts());
        Ok(render(
            &visit,
            (id, act),
            said,
            detail(&visit, done.not_changed),
            false,
        ))
    };
    page::answer(&visit, done.await)
}

/// What is asked for, by an operator who may do it.
fn read(visit: &Visit, path: &(String, String)) -> Result<(Uuid, CallbackAct), ApiError> {
    let operator = visit.operator.as_ref();
    if !operator.is_some_and(|operator| operator.may(Role::Replay)) {
        return Err(ApiError::Forbidden(Role::Replay));
    }
    let (id, act) = path;
    let all = [
        CallbackAct::RetryNow,
        CallbackAct::Cancel,
        CallbackAct::Replay,
    ];
    let act = all.into_iter().find(|one| path_of(*one) == act);
    let unknown = || {
        ApiError::rejected(
            ProblemCode::UnknownRoute,
            say!("there is no such act", "没有此操作"),
        )
    };
    Ok((WrittenId::of_act(id)?, act.ok_or_else(unknown)?))
}

/// Who acts: the name of the token, or the name in the form.
fn actor(visit: &Visit, form: ActForm) -> Result<Actor, ApiError> {
    let token_name = visit.operator.as_ref().and_then(|it| it.name.as_deref());
    let actor = Some(form.actor).filter(|actor| !actor.trim().is_empty());
    Actor::new(actor, Some(form.reason), token_name)
}

fn outcome(done: &BulkView, t: &Texts) -> (&'static str, &'static str) {
    if done.changed > 0 {
        ("good", t.act_done)
    } else if done.pending > 0 {
        ("warning", t.act_pending)
    } else if done.requested > 0 {
        ("warning", t.act_requested)
    } else {
        ("failure", t.act_impossible)
    }
}

fn detail(visit: &Visit, not_changed: Vec<NotChanged>) -> Option<String> {
    let first = not_changed.into_iter().next()?;
    Some(translations::hindrance(
        &first.reason,
        first.detail,
        visit.language,
    ))
}

fn render(
    visit: &Visit,
    (id, act): (Uuid, CallbackAct),
    (class, sentence): (&'static str, &'static str),
    detail: Option<String>,
    asks: bool,
) -> ActPage {
    let t = visit.texts();
    ActPage {
        frame: PageFrame::new(visit, Section::Callbacks),
        t,
        id,
        path: path_of(act),
        name: name_of(act, t),
        class,
        sentence,
        detail,
        asks,
        needs_name: visit.operator.as_ref().is_none_or(|it| it.name.is_none()),
    }
}

/// What may be done to a callback of this status: the end of the path, and the word.
pub(super) fn possible(status: CallbackStatus, t: &Texts) -> Vec<(&'static str, &'static str)> {
    let acts: &[CallbackAct] = match status {
        CallbackStatus::Queued | CallbackStatus::Delivering | CallbackStatus::Retrying => {
            &[CallbackAct::RetryNow, CallbackAct::Cancel]
        }
        CallbackStatus::Delivered | CallbackStatus::Dead | CallbackStatus::Expired => {
            &[CallbackAct::Replay]
        }
        CallbackStatus::Unaccounted => &[CallbackAct::Cancel],
        CallbackStatus::Cancelled => &[],
    };
    let links = acts.iter().map(|act| (path_of(*act), name_of(*act, t)));
    links.collect()
}

const fn path_of(act: CallbackAct) -> &'static str {
    match act {
        CallbackAct::RetryNow => "retry-now",
        CallbackAct::Cancel => "cancel",
        CallbackAct::Replay => "replay",
    }
}

const fn name_of(act: CallbackAct, t: &Texts) -> &'static str {
    match act {
        CallbackAct::RetryNow => t.act_retry_now,
        CallbackAct::Cancel => t.act_cancel,
        CallbackAct::Replay => t.act_replay,
    }
}
