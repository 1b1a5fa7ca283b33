//! `GET /api/callback/{request_id}`: reports the status of a callback.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use journal::Callback;
use tokio::time::Instant;

use super::resolve::resolve;
use super::respond::{reject, report};
use crate::preferences::{WaitPolicy, WaitPreference};
use crate::rejection::Rejection;
use crate::response::set_preference_applied;
use crate::state::AppState;
use crate::wait::deadline_or_stop;
use crate::wait::status::WaitFor;

pub(super) async fn query(
    state: web::Data<AppState>,
    http_request: HttpRequest,
    request_id: web::Path<String>,
) -> HttpResponse {
    // The default wait applies to new callbacks only.
    let policy = WaitPolicy {
        default: Duration::ZERO,
        ..state.wait_policy
    };
    let wait = WaitPreference::read(http_request.headers(), policy, Instant::now());
    match find(&state, &http_request, &request_id, wait.deadline()).await {
        Ok(callback) => {
            let mut response = report(&state, &http_request, &callback).await;
            set_preference_applied(&mut response, &wait);
            response
        }
        Err(rejection) => reject(&state, &http_request, &rejection),
    }
}

/// The callback, once its status is final or the deadline has passed.
async fn find(
    state: &AppState,
    http_request: &HttpRequest,
    request_id: &str,
    deadline: Option<Instant>,
) -> Result<Callback, Rejection> {
    let (caller, lookup, request_id) = resolve(state, http_request, request_id)?;
    let not_yet = || Rejection::unavailable(request_id);
    let found = lookup.load_visible(&caller, request_id).await?;
    let is_final = found.as_ref().is_some_and(|found| found.status.is_final());
    let Some(deadline) = deadline.filter(|_| !is_final) else {
        return found.ok_or_else(not_yet);
    };
    let ended = lookup
        .wait_for(request_id, WaitFor::Final, deadline, &state.stop)
        .await;
    if ended.is_some() {
        if let Ok(Some(callback)) = lookup.load_visible(&caller, request_id).await {
            return Ok(callback);
        }
        // It is another app's callback. An early answer would reveal that it exists.
        deadline_or_stop(deadline, &state.stop).await;
    }
    let found = lookup.load_visible(&caller, request_id).await?;
    found.ok_or_else(not_yet)
}
