//! The table of all pages.

use actix_web::http::header::{ALLOW, LOCATION};
use actix_web::middleware::from_fn;
use actix_web::web::{self, FormConfig, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use super::guard::guard;
use super::visit::Visit;
use super::{
    acts, apps, assets, audit, bulk, callbacks, dead_groups, dead_letters, find, live, live_stream,
    operations, overview, page, paths, pauses, schedule, settings, sign_in, target, targets,
    unreadable, waiting,
};
use crate::api::error::{ApiError, ProblemCode};
use crate::doctor::said::say;

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
            .service(get("/{script}.js", assets::script))
            .service(get("/language", sign_in::choose_language))
            .service(both("/sign-in", sign_in::show).route(web::post().to(sign_in::sign_in)))
            .service(post("/sign-out", sign_in::sign_out))
            .service(get("/live", live::show))
            .service(
                // Not HEAD: it would take a place without watching.
                web::resource("/live/events")
                    .route(web::get().to(live_stream::events))
                    .default_service(web::to(|| method_not_allowed("GET"))),
            )
            .service(get("/targets", targets::list))
            .service(get("/targets/one", target::show))
            .service(get("/waiting", waiting::show))
            .service(get("/apps", apps::list))
            .service(get("/settings", settings::show))
            .service(get("/schedule", schedule::show))
            .service(get("/search", find::search))
            .service(get("/unreadable", unreadable::list))
            .service(post("/unreadable/{act}", unreadable::act))
            .service(get("/callbacks", callbacks::list))
            .service(get("/callbacks/find", find::find))
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
            .service(get("/dead-letters/groups", dead_groups::show))
            .service(both("/bulk/{act}", bulk::preview).route(web::post().to(bulk::begin)))
            .service(get("/operations", operations::list))
            .service(get("/operations/{id}", operations::show))
            .service(post("/operations/{id}/stop", operations::stop))
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
    let sentence = say!("there is no page {0}", "没有页面 {0}", http.path());
    let problem = ApiError::rejected(ProblemCode::UnknownRoute, sentence);
    page::error(&Visit::of(&http), &problem)
}
