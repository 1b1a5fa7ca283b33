//! `/admin/v1/callbacks`: list, show and cancel callbacks.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::web::{Data, Path};
use broker::Broker;
use journal::{CallbackPage, CancelOutcome, Cursor, Journal};
use runtime::clock::now_ms;
use uuid::Uuid;

use super::audit::{self, AuditAction};
use super::auth::TokenName;
use super::body::BodyBytes;
use super::bulk_request::Actor;
use super::error::{ApiError, ProblemCode};
use super::query_params;
use super::response::{ApiResponse, ok};
use super::state::AdminState;
use super::view::{CallbackView, CancelResult, CancelView, ItemsPage};

/// A callback that is due within this time may be in an attempt already.
const CANCEL_MARGIN: Duration = Duration::from_secs(2);

/// `GET /admin/v1/callbacks`
pub(super) async fn list(state: Data<AdminState>, http: HttpRequest) -> ApiResponse {
    let (filter, page) = query_params::callbacks(http.query_string())?;
    let journal = state.journal()?;
    let found = state.run(async move {
        let now = now_ms();
        Ok(journal.list(&filter, page.after, page.limit, now).await?)
    });
    ok(&items(found.await?))
}

/// The response with a page of callbacks.
pub(super) fn items(page: CallbackPage) -> ItemsPage<CallbackView> {
    let now = now_ms();
    let callbacks = page.callbacks.into_iter();
    ItemsPage {
        items: callbacks
            .map(|callback| CallbackView::of(callback, now))
            .collect(),
        next: page.next.map(|Cursor(id)| id.to_string()),
    }
}

/// `GET /admin/v1/callbacks/{id}`
pub(super) async fn show(state: Data<AdminState>, id: Path<String>) -> ApiResponse {
    let id = query_params::request_id(&id)?;
    let journal = state.journal()?;
    let found = state
        .run(async move { Ok(journal.find(id).await?) })
        .await?;
    let callback = found.ok_or_else(|| ApiError::unknown_callback(id))?;
    ok(&CallbackView::of(callback, now_ms()))
}

/// `POST /admin/v1/callbacks/{id}/cancel`
pub(super) async fn cancel(
    state: Data<AdminState>,
    http: HttpRequest,
    id: Path<String>,
    body: BodyBytes,
) -> ApiResponse {
    let request_id = query_params::request_id(&id)?;
    let actor = Actor::parse(&body, TokenName::of(&http).as_deref())?;
    let journal = state.journal()?;
    let broker = state.broker.clone();
    let result = state.run(async move { cancel_one(&broker, &journal, request_id, actor).await });
    let result = result.await?;
    ok(&CancelView { request_id, result })
}

/// Cancels a callback of any app.
async fn cancel_one(
    broker: &Broker,
    journal: &Journal,
    request_id: Uuid,
    actor: Actor,
) -> Result<CancelResult, ApiError> {
    let now = now_ms();
    // Taken before the cancellation: the message of a later replay stays.
    let mark = broker.publish_mark();
    let result = match journal.cancel(request_id, None, now, CANCEL_MARGIN).await? {
        CancelOutcome::Cancelled => {
            // What is not removed now ends before its attempt.
            let id = request_id.hyphenated().to_string();
            broker.remove_waiting(id, mark).await;
            CancelResult::Cancelled
        }
        CancelOutcome::Requested => CancelResult::Requested,
        CancelOutcome::AlreadyEnded(status) => {
            let sentence = format!("{request_id} has ended already: it is {status}");
            return Err(ApiError::rejected(ProblemCode::AlreadyEnded, sentence));
        }
        CancelOutcome::Unknown => return Err(ApiError::unknown_callback(request_id)),
    };
    let subject = request_id.to_string();
    audit::record(Some(journal), AuditAction::Cancel, subject, actor, 1).await;
    Ok(result)
}
