//! `GET /openapi.json` and `/api-docs/`: the OpenAPI document of the operators' API, and its page.
//!
//! They say nothing that is not public, so a browser may read them without a token.

use actix_web::http::Method;
use actix_web::http::header::ACCEPT_LANGUAGE;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route};
use runtime::http::{
    API_DOCUMENT_PATH, API_PAGE_PATH, API_PAGE_PATTERN, ApiDocument, api_page_file,
    api_page_redirect,
};

use super::error::ApiError;
use super::openapi;
use super::response::ApiResponse;
use super::routes::{allowed, read};

static DOCUMENT: ApiDocument = ApiDocument::new(openapi::english, openapi::chinese);

const METHODS: &str = "GET, HEAD, OPTIONS";

/// Registers the document, and with `has_page` its page.
pub(super) fn configure(service: &mut ServiceConfig, has_page: bool) {
    register(service, API_DOCUMENT_PATH, web::to(document));
    if has_page {
        register(service, API_PAGE_PATH, web::to(redirect));
        register(service, API_PAGE_PATTERN, web::to(page_file));
    }
}

fn register(service: &mut ServiceConfig, path: &str, route: Route) {
    let options = web::method(Method::OPTIONS).to(|| async { allowed(METHODS) });
    let resource = web::resource(path).default_service(web::to(only_get));
    service.service(resource.route(read(route)).route(options));
}

/// Whether a path is one of these, whether it is served or not.
pub(super) fn owns(path: &str) -> bool {
    let of_page = |rest: &str| rest.is_empty() || rest.starts_with('/');
    path == API_DOCUMENT_PATH || path.strip_prefix(API_PAGE_PATH).is_some_and(of_page)
}

async fn document(http: HttpRequest) -> HttpResponse {
    let accepted = http.headers().get(ACCEPT_LANGUAGE);
    let accepted = accepted.and_then(|value| value.to_str().ok());
    DOCUMENT.respond(http.query_string(), accepted)
}

async fn redirect() -> HttpResponse {
    api_page_redirect()
}

async fn page_file(file: web::Path<String>) -> HttpResponse {
    api_page_file(&file)
}

async fn only_get() -> ApiResponse {
    Err(ApiError::MethodNotAllowed(METHODS.to_owned()))
}
