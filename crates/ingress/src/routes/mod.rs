//! The HTTP routes of the callers' contract.
//!
//! - `accept.rs`: `POST /api/callback`, the main path.
//! - `query.rs`: `GET /api/callback/{request_id}`.
//! - `cancel.rs`: `DELETE /api/callback/{request_id}`.
//! - `fallback.rs`: unknown paths and methods.
//! - `resolve.rs`: the first steps of a query and a cancellation.
//! - `respond.rs`: sends answers and rejections.

mod accept;
mod cancel;
mod fallback;
mod query;
mod resolve;
mod respond;

use actix_web::web::{self, ServiceConfig};

/// Adds the routes to an actix application whose data holds the `AppState`.
pub(crate) fn configure(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/api/callback")
                .route(web::post().to(accept::accept))
                .default_service(web::to(fallback::only_post)),
        )
        .service(
            web::resource("/api/callback/{request_id}")
                .route(web::get().to(query::query))
                .route(web::delete().to(cancel::cancel))
                .default_service(web::to(fallback::only_get_and_delete)),
        )
        .default_service(web::to(fallback::not_found));
}
