//! `/admin/v1/unreadable`: list, show, requeue and discard messages that could not be decoded.
//!
//! - `mod.rs`: the handlers. `held.rs`: takes messages of the queue, and settles or returns them.
//! - `request.rs`: which messages a request selects. `body.rs`: what is told about the bytes of a message.

mod body;
mod held;
mod request;

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use broker::Broker;
use serde_json::json;

use super::audit;
use super::auth::TokenName;
use super::body::BodyBytes;
use super::bulk_request::Actor;
use super::error::{ApiError, ProblemCode};
use super::payload;
use super::query_params;
use super::response::{ApiResponse, ok, ok_list};
use super::state::AdminState;
use super::view::{ItemsPage, UnreadablePage};
use crate::doctor::said::say;
use held::{HeldMessages, SettledMessages};
pub(crate) use request::UnreadableAction;
pub(super) use request::UnreadableBody;
use request::{MAX_HELD, UnreadableRequest, UnreadableSelection};

/// `GET /admin/v1/unreadable`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let limit = query_params::page(http.query_string(), |_| None::<()>)?.limit;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    ok_list(&page(&state, limit).await?, &state.pauses)
}

/// The oldest ones.
pub(crate) async fn page(state: &AdminState, limit: usize) -> Result<UnreadablePage, ApiError> {
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
    page.await
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
    let Some(actor) = actor else {
        return ok(&json!({ "matched": count(state, selection).await? }));
    };
    let settled = settle(state, selection, action, actor).await?;
    let mut answer = json!({ "unknown": settled.unknown, "error": settled.error });
    answer[action.past_participle()] = json!(settled.changed);
    ok(&answer)
}

/// Does it to the messages of this id, or to the oldest; returns to how many.
///
/// # Errors
/// It is no id, or the broker cannot be used.
pub(crate) async fn act_on(
    state: &AdminState,
    action: UnreadableAction,
    id: Option<&str>,
    actor: Actor,
) -> Result<usize, ApiError> {
    let selection = match id {
        Some(id) => UnreadableSelection::Ids(vec![body::parse_id(id)?]),
        None => UnreadableSelection::Oldest(MAX_HELD.into()),
    };
    let settled = settle(state, selection, action, actor).await?;
    match settled.error {
        Some(error) => Err(ApiError::Unavailable(error.into())),
        None => Ok(settled.changed),
    }
}

/// The messages of a selection, held.
async fn take(broker: &Broker, selection: &UnreadableSelection) -> Result<HeldMessages, ApiError> {
    let max = match selection {
        UnreadableSelection::Ids(_) => MAX_HELD.into(),
        UnreadableSelection::Oldest(limit) => *limit,
    };
    HeldMessages::take(broker, max).await
}

async fn count(state: &AdminState, selection: UnreadableSelection) -> Result<usize, ApiError> {
    let (broker, reading) = (state.broker.clone(), state.unreadable.clone());
    let work = async move {
        let _one_at_a_time = reading.lock().await;
        let held = take(&broker, &selection).await?;
        let matched = held.count(&selection);
        held.put_back().await;
        Ok(matched)
    };
    state.run(work).await
}

/// Settles them, and writes the audit log.
///
/// # Errors
/// None could be settled.
async fn settle(
    state: &AdminState,
    selection: UnreadableSelection,
    action: UnreadableAction,
    actor: Actor,
) -> Result<SettledMessages, ApiError> {
    let (broker, reading) = (state.broker.clone(), state.unreadable.clone());
    let journal = state.journal.clone();
    let work = async move {
        let _one_at_a_time = reading.lock().await;
        let held = take(&broker, &selection).await?;
        let subject = selection.describe();
        let settled = held.settle(&selection, action, &broker).await;
        if settled.changed > 0 {
            let (audited, count) = (action.audited(), settled.changed);
            audit::record(journal.as_ref(), audited, subject, actor, count).await;
        }
        match (settled.changed, settled.error) {
            (0, Some(error)) => Err(ApiError::Unavailable(error.into())),
            (_, error) => Ok(SettledMessages { error, ..settled }),
        }
    };
    state.run(work).await
}

fn not_found(id: &str) -> ApiError {
    let max = MAX_HELD;
    let sentence = say!(
        "none of the oldest {max} unreadable messages has the id {id}",
        "最早的 {max} 条无法解析的消息中没有 ID 为 {id} 的"
    );
    ApiError::rejected(ProblemCode::UnknownMessage, sentence)
}
