//! `GET /openapi.json` and `/api-docs/`: the OpenAPI document of the callers' API, and its page.

use actix_web::http::header::ACCEPT_LANGUAGE;
use actix_web::{HttpRequest, HttpResponse, web};
use runtime::http::{ApiDocument, api_page_file, api_page_redirect};

use crate::openapi;

static DOCUMENT: ApiDocument = ApiDocument::new(openapi::english, openapi::chinese);

pub(super) async fn document(http_request: HttpRequest) -> HttpResponse {
    let accepted = http_request.headers().get(ACCEPT_LANGUAGE);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    DOCUMENT.respond(http_request.query_string(), accepted)
}

pub(super) async fn redirect() -> HttpResponse {
    api_page_redirect()
}

pub(super) async fn page_file(file: web::Path<String>) -> HttpResponse {
    api_page_file(&file)
}
