//! The HTTP routes of the callers' contract.
//!
//! - `accept.rs`: `POST /api/callback`, the main path.
//! - `query.rs`: `GET /api/callback/{request_id}`.
//! - `cancel.rs`: `DELETE /api/callback/{request_id}`.
//! - `table.rs`: every path with its methods, `HEAD` and `OPTIONS` among them.
//! - `api_docs.rs`: the OpenAPI document and its page.
//! - `fallback.rs`: unknown paths and methods.
//! - `resolve.rs`: the first steps of a query and a cancellation.
//! - `respond.rs`: sends answers and rejections.

mod accept;
mod api_docs;
mod cancel;
mod fallback;
mod query;
mod resolve;
mod respond;
mod table;

use actix_web::web::{self, ServiceConfig};

/// Adds the routes to an actix application whose data holds the `AppState`. `has_page`: those of the
/// page that shows the API, too.
pub(crate) fn configure(config: &mut ServiceConfig, has_page: bool) {
    table::register(config, has_page);
    config.default_service(web::to(fallback::not_found));
}
