//! Answers unknown paths and methods.

use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use contract::Answer;

use super::respond::reject;
use crate::state::AppState;

pub(super) async fn not_found(
    state: web::Data<AppState>,
    http_request: HttpRequest,
) -> HttpResponse {
    reject(&state, &http_request, &Answer::NotFound.into())
}

/// `allow` names the methods of the path.
pub(super) fn method_not_allowed(
    state: &AppState,
    http_request: &HttpRequest,
    allow: &str,
) -> HttpResponse {
    let mut response = reject(state, http_request, &Answer::MethodNotAllowed.into());
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}
