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

pub(super) async fn only_post(
    state: web::Data<AppState>,
    http_request: HttpRequest,
) -> HttpResponse {
    method_not_allowed(&state, &http_request, "POST")
}

pub(super) async fn only_get_and_delete(
    state: web::Data<AppState>,
    http_request: HttpRequest,
) -> HttpResponse {
    method_not_allowed(&state, &http_request, "GET, DELETE")
}

fn method_not_allowed(
    state: &AppState,
    http_request: &HttpRequest,
    allow: &'static str,
) -> HttpResponse {
    let mut response = reject(state, http_request, &Answer::MethodNotAllowed.into());
    let allow = HeaderValue::from_static(allow);
    response.headers_mut().insert(ALLOW, allow);
    response
}
