//! `/admin/v1/unreadable`: list, show, requeue and discard messages that could not be decoded.
//!
//! - `mod.rs`: the handlers. `held.rs`: takes messages of the queue, and settles or returns them.
//! - `request.rs`: which messages a request selects. `body.rs`: what is told about the bytes of a message.

mod body;
mod held;
mod request;

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use serde_json::json;

use super::audit;
use super::auth::TokenName;
use super::body::BodyBytes;
use super::error::{ApiError, ProblemCode};
use super::payload;
use super::query_params;
use super::response::{ApiResponse, ok, ok_list};
use super::state::AdminState;
use super::view::{ItemsPage, UnreadablePage};
use held::HeldMessages;
use request::{MAX_HELD, UnreadableAction, UnreadableRequest, UnreadableSelection};

/// `GET /admin/v1/unreadable`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let limit = query_params::page(http.query_string(), |_| None::<()>)?.limit;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (broker, reading) = (state.broker.clone(), state.unreadable.clone());
    let page = state.run(async move {
        let _one_at_a_time = reading.lock().await;
        let held = HeldMessages::take(&broker, limit).await?;
        let page = UnreadablePage {
            page: ItemsPage {
                items: held.iter().map(body::view).collect(),
                next: None,
            },
            waiting: held.waiting(),
        };
        held.put_back().await;
        Ok(page)
    });
    ok_list(&page.await?, &state.pauses)
}

/// `GET /admin/v1/unreadable/{id}`
pub(super) async fn show(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
) -> ApiResponse {
    let id = body::parse_id(&id)?;
    let actor = payload::looker(&http)?;
    let (broker, reading) = (state.broker.clone(), state.unreadable.clone());
    let journal = state.journal.clone();
    let shown = state.run(async move {
        let _one_at_a_time = reading.lock().await;
        let held = HeldMessages::take(&broker, MAX_HELD.into()).await?;
        let found = held
            .iter()
            .find(|received| body::id_of(&received.body) == id);
        let shown = found.map(body::view_with_beginning);
        held.put_back().await;
        let shown = shown.ok_or_else(|| not_found(&id))?;
        audit::record_look(journal.as_ref(), &format!("unreadable {id}"), actor).await?;
        Ok(shown)
    });
    ok(&shown.await?)
}

/// `POST /admin/v1/unreadable/requeue`
pub(super) async fn requeue(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    act(UnreadableAction::Requeue, &state, &http, &body).await
}

/// `POST /admin/v1/unreadable/discard`
pub(super) async fn discard(
    state: Data<AdminState>,
    http: HttpRequest,
    body: BodyBytes,
) -> ApiResponse {
    act(UnreadableAction::Discard, &state, &http, &body).await
}

async fn act(
    action: UnreadableAction,
    state: &AdminState,
    http: &HttpRequest,
    body: &[u8],
) -> ApiResponse {
    let UnreadableRequest { selection, actor } =
        UnreadableRequest::parse(body, TokenName::of(http).as_deref())?;
    let (broker, reading) = (state.broker.clone(), state.unreadable.clone());
    let journal = state.journal.clone();
    let work = async move {
        let _one_at_a_time = reading.lock().await;
        let max = match &selection {
            UnreadableSelection::Ids(_) => MAX_HELD.into(),
            UnreadableSelection::Oldest(limit) => *limit,
        };
        let held = HeldMessages::take(&broker, max).await?;
        let Some(actor) = actor else {
            let matched = held.count(&selection);
            held.put_back().await;
            return Ok(json!({ "matched": matched }));
        };
        let subject = selection.describe();
        let settled = held.settle(&selection, action, &broker).await;
        if settled.changed > 0 {
            let (audited, count) = (action.audited(), settled.changed);
            audit::record(journal.as_ref(), audited, subject, actor, count).await;
        }
        match (settled.changed, settled.error) {
            (0, Some(error)) => Err(ApiError::Unavailable(error)),
            (changed, error) => {
                let mut answer = json!({ "unknown": settled.unknown, "error": error });
                answer[action.past_participle()] = json!(changed);
                Ok(answer)
            }
        }
    };
    ok(&state.run(work).await?)
}

fn not_found(id: &str) -> ApiError {
    let max = MAX_HELD;
    let sentence = format!("none of the oldest {max} unreadable messages has the id {id}");
    ApiError::rejected(ProblemCode::UnknownMessage, sentence)
}
