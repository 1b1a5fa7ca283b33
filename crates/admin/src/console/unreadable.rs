//! Messages that could not be decoded: listed, put back into their queue, or removed.

use actix_web::http::header::LOCATION;
use actix_web::web::{Data, Form, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use runtime::clock::now_ms;
use serde::Deserialize;

use super::page::{self, PageFrame, Section};
use super::texts::Texts;
use super::visit::Visit;
use super::when::When;
use super::{filters, links, query};
use crate::api::bulk_request::Actor;
use crate::api::error::{ApiError, ProblemCode};
use crate::api::state::AdminState;
use crate::api::unreadable::{self, UnreadableAction};
use crate::api::view::{UnreadablePage as Seen, UnreadableView};
use crate::config::Role;
use crate::doctor::said::say;

const PATH: &str = "/console/unreadable";
/// How many are on the page: the oldest.
const MAX_LISTED: usize = 50;

#[derive(Template)]
#[template(path = "console/unreadable.html")]
pub(super) struct UnreadableMessagesPage {
    frame: PageFrame,
    t: &'static Texts,
    lines: Vec<(Option<When>, UnreadableView)>,
    waiting: usize,
    /// What the form before this page has done.
    changed: Option<u64>,
    may_act: bool,
    needs_name: bool,
}

/// What is done, by whom and why.
#[derive(Deserialize)]
pub(super) struct UnreadableForm {
    /// Empty: all of them, to be put back.
    #[serde(default)]
    id: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    reason: String,
}

/// `GET /console/unreadable`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> HttpResponse {
    let visit = Visit::of(&http);
    let changed = query::value(http.query_string(), "changed");
    let changed = changed.and_then(|text| text.parse().ok());
    let seen = unreadable::page(&state, MAX_LISTED).await;
    page::answer(&visit, seen.map(|seen| render(&visit, seen, changed)))
}

pub(super) fn render(visit: &Visit, seen: Seen, changed: Option<u64>) -> UnreadableMessagesPage {
    let (t, now) = (visit.texts(), now_ms());
    let operator = visit.operator.as_ref();
    UnreadableMessagesPage {
        frame: PageFrame::new(visit, Section::DeadLetters),
        t,
        waiting: seen.waiting,
        lines: seen
            .page
            .items
            .into_iter()
            .map(|mut view| {
                view.reason = view.reason.map(|reason| t.stored(&reason));
                (view.quarantined_at.map(|at| When::of(at, now, t)), view)
            })
            .collect(),
        changed,
        may_act: operator.is_some_and(|operator| operator.may(Role::Replay)),
        needs_name: operator.is_none_or(|operator| operator.name.is_none()),
    }
}

/// `POST /console/unreadable/{act}`
pub(super) async fn act(
    state: Data<AdminState>,
    http: HttpRequest,
    act: Path<String>,
    form: Form<UnreadableForm>,
) -> HttpResponse {
    let visit = Visit::of(&http);
    match acted(&state, &visit, &act, form.into_inner()).await {
        Ok(changed) => HttpResponse::SeeOther()
            .insert_header((
                LOCATION,
                links::to(PATH, &[("changed", &changed.to_string())]),
            ))
            .finish(),
        Err(problem) => page::error(&visit, &problem),
    }
}

async fn acted(
    state: &AdminState,
    visit: &Visit,
    act: &str,
    form: UnreadableForm,
) -> Result<usize, ApiError> {
    let operator = visit.operator.as_ref();
    if !operator.is_some_and(|operator| operator.may(Role::Replay)) {
        return Err(ApiError::Forbidden(Role::Replay));
    }
    let action = match act {
        "requeue" => UnreadableAction::Requeue,
        "discard" => UnreadableAction::Discard,
        _ => {
            return Err(ApiError::rejected(
                ProblemCode::UnknownRoute,
                say!("there is no such act", "没有此操作"),
            ));
        }
    };
    let token_name = operator.and_then(|it| it.name.as_deref());
    let actor = Some(form.actor).filter(|actor| !actor.trim().is_empty());
    let actor = Actor::new(actor, Some(form.reason), token_name)?;
    let id = selected(action, form.id)?;
    unreadable::act_on(state, action, id.as_deref(), actor).await
}

/// Which one, or all. What is discarded is gone, so it is named one by one.
fn selected(action: UnreadableAction, id: String) -> Result<Option<String>, ApiError> {
    let id = Some(id).filter(|id| !id.trim().is_empty());
    match (action, id) {
        (UnreadableAction::Discard, None) => Err(ApiError::parameter(say!(
            "an unreadable message is discarded by its id: none is given",
            "无法解析的消息须按 ID 丢弃，而没有给出 ID"
        ))),
        (_, id) => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discard_names_its_message() {
        for blank in ["", " "] {
            assert!(selected(UnreadableAction::Discard, blank.to_owned()).is_err());
            let all = selected(UnreadableAction::Requeue, blank.to_owned());
            assert_eq!(all.unwrap(), None);
        }
        let one = selected(UnreadableAction::Discard, "7".to_owned());
        assert_eq!(one.unwrap().as_deref(), Some("7"));
    }
}
