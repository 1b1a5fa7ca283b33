//! Sends answers, rejections and reports to callers.

use actix_web::{HttpRequest, HttpResponse};
use contract::Answer;
use journal::Callback;
use runtime::clock::now_ms;
use uuid::Uuid;

use crate::quota::set_quota;
use crate::rejection::Rejection;
use crate::report::to_report;
use crate::response;
use crate::state::AppState;

pub(super) fn respond(
    state: &AppState,
    http_request: &HttpRequest,
    answer: &Answer,
    request_id: Option<Uuid>,
) -> HttpResponse {
    let challenge = match answer {
        Answer::Unauthorized => state.authenticator.challenge(),
        _ => None,
    };
    let language = response::language(http_request);
    response::answer(answer, request_id, language, state.http_status, challenge)
}

pub(super) fn reject(
    state: &AppState,
    http_request: &HttpRequest,
    rejection: &Rejection,
) -> HttpResponse {
    state.metrics.rejected(rejection.answer.code());
    if let Some(app_id) = &rejection.app_id {
        state.metrics.app_rejected(app_id, &rejection.answer);
        state.traffic.rejected(app_id, &rejection.answer);
    }
    let (answer, id) = (&rejection.answer, rejection.request_id);
    let mut response = respond(state, http_request, answer, id);
    set_quota(&mut response, rejection.quota.as_deref().copied());
    response
}

/// A callback's report. Always a 200, whatever the code in it: the callback is known.
pub(super) async fn report(
    state: &AppState,
    http_request: &HttpRequest,
    callback: &Callback,
) -> HttpResponse {
    let held = state.holders.is_held(callback, now_ms()).await;
    let report = to_report(callback, held, now_ms());
    response::json(200, report.body(response::language(http_request)))
}
