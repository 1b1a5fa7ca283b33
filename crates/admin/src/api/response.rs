//! Success responses.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use serde::Serialize;

use super::error::ApiError;

/// What a handler returns.
pub(super) type ApiResponse = Result<HttpResponse, ApiError>;

/// 200 with a JSON body.
pub(super) fn ok(body: &impl Serialize) -> ApiResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((CACHE_CONTROL, "no-store"));
    Ok(response.json(body))
}
