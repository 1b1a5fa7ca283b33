//! `DELETE /api/callback/{request_id}`: cancels a waiting callback.

use actix_web::{HttpRequest, HttpResponse, web};
use contract::{Answer, CallbackStatus};
use uuid::Uuid;

use super::resolve::resolve;
use super::respond::{reject, report, respond};
use crate::lookup::CancelReport;
use crate::rejection::Rejection;
use crate::state::AppState;

pub(super) async fn cancel(
    state: web::Data<AppState>,
    http_request: HttpRequest,
    request_id: web::Path<String>,
) -> HttpResponse {
    match request_cancel(&state, &http_request, &request_id).await {
        Ok((_, CancelReport::Ended(callback))) => report(&state, &http_request, &callback).await,
        Ok((request_id, CancelReport::CancelRequested)) => {
            respond(&state, &http_request, &Answer::Retrying, Some(request_id))
        }
        Err(rejection) => reject(&state, &http_request, &rejection),
    }
}

async fn request_cancel(
    state: &AppState,
    http_request: &HttpRequest,
    request_id: &str,
) -> Result<(Uuid, CancelReport), Rejection> {
    let (caller, lookup, request_id) = resolve(state, http_request, request_id)?;
    // Taken before the cancellation: the message of a later replay stays.
    let mark = state.enqueuer.broker.publish_mark();
    let outcome = lookup.cancel(&caller, request_id).await?;
    if let CancelReport::Ended(callback) = &outcome
        && callback.status == CallbackStatus::Cancelled
    {
        // What is not removed now ends before its attempt.
        let id = request_id.hyphenated().to_string();
        state.enqueuer.broker.remove_waiting(id, mark).await;
    }
    Ok((request_id, outcome))
}
