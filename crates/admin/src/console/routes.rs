//! The table of all pages.

use actix_web::http::header::{ALLOW, LOCATION};
use actix_web::middleware::from_fn;
use actix_web::web::{self, FormConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::guard::guard;
use super::visit::Visit;
use super::{
    acts, assets, audit, callbacks, dead_letters, overview, page, paths, pauses, sign_in, targets,
};
use crate::api::error::{ApiError, ProblemCode};

/// The largest form: a reason, a name, a token.
const MAX_FORM_BYTES: usize = 16 * 1024;

/// Registers all pages.
pub(crate) fn configure(service: &mut ServiceConfig) {
    let root = web::resource("/").wrap(from_fn(guard));
    service.service(root.to(first_page));
    service.service(
        web::scope("/console")
            .app_data(FormConfig::default().limit(MAX_FORM_BYTES))
            .wrap(from_fn(guard))
            .service(get("", first_page))
            .service(get("/", overview::show))
            .service(get("/style.css", assets::style))
            .service(get("/icon.svg", assets::icon))
            .service(get("/language", sign_in::choose_language))
            .service(both("/sign-in", sign_in::show).route(web::post().to(sign_in::sign_in)))
            .service(post("/sign-out", sign_in::sign_out))
            .service(get("/targets", targets::list))
            .service(get("/callbacks", callbacks::list))
            .service(get("/callbacks/find", callbacks::find))
            .service(get("/callbacks/{id}", callbacks::show))
            .service(post("/callbacks/{id}/payload", callbacks::look))
            .service(
                both(
                    "/callbacks/{id}/{act:retry-now|cancel|replay}",
                    acts::preview,
                )
                .route(web::post().to(acts::act)),
            )
            .service(get("/dead-letters", dead_letters::list))
            .service(both("/pauses", pauses::list).route(web::post().to(pauses::change)))
            .service(get("/audit", audit::list))
            .default_service(web::to(unknown_page)),
    );
}

/// A page that is read.
fn get<F, Args>(path: &'static str, handler: F) -> actix_web::Resource
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    both(path, handler).default_service(web::to(|| method_not_allowed("GET, HEAD")))
}

/// A page that is read, and whose form the caller adds.
fn both<F, Args>(path: &'static str, handler: F) -> actix_web::Resource
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    let not_allowed = || web::to(|| method_not_allowed("GET, HEAD, POST"));
    web::resource(path)
        .route(web::route().guard(reads()).to(handler))
        .default_service(not_allowed())
}

/// A form that is sent.
fn post<F, Args>(path: &'static str, handler: F) -> actix_web::Resource
where
    F: actix_web::Handler<Args>,
    Args: actix_web::FromRequest + 'static,
    F::Output: actix_web::Responder + 'static,
{
    let not_allowed = || web::to(|| method_not_allowed("POST"));
    web::resource(path)
        .route(web::post().to(handler))
        .default_service(not_allowed())
}

fn reads() -> impl actix_web::guard::Guard {
    actix_web::guard::Any(actix_web::guard::Get()).or(actix_web::guard::Head())
}

/// To the first page.
async fn first_page() -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((LOCATION, paths::FIRST_PAGE))
        .finish()
}

async fn method_not_allowed(methods: &'static str) -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header((ALLOW, methods))
        .finish()
}

async fn unknown_page(http: HttpRequest) -> HttpResponse {
    let sentence = format!("there is no page {}", http.path());
    let problem = ApiError::rejected(ProblemCode::UnknownRoute, sentence);
    page::error(&Visit::of(&http), &problem)
}
