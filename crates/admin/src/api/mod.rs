//! The operators' HTTP API, served on its own listener (`admin.listen`).
//!
//! - `routes.rs`: the table of all routes. Start here.
//! - `server.rs`: the listener and its background tasks; `state.rs`: the state of the handlers.
//! - `auth.rs`: who may send a request. `access.rs`: counts, logs and slows failures.
//! - `metrics.rs`: what the listener counts.
//! - Handlers: `callbacks.rs`, `dead_letters/` (list, replay, discard), `pauses.rs`, `targets.rs`,
//!   `audit.rs` (also writes the audit log).
//! - `reconcile/`: compares the dead-letter queue with the journal.
//! - Requests: `query_params.rs` (lists), `body.rs`, `bulk_request.rs` (replay and discard),
//!   `timestamp.rs`.
//! - Responses: `response.rs`, `view.rs` and `rfc3339.rs` (the JSON), `explain.rs` (a callback's state
//!   in words), `reason.rs`, `error.rs` (problem details).

mod access;
mod audit;
mod auth;
mod body;
mod bulk_request;
mod callbacks;
mod dead_letters;
mod error;
mod explain;
mod metrics;
mod pauses;
pub(crate) mod query_params;
mod reason;
mod reconcile;
mod response;
mod rfc3339;
mod routes;
mod server;
mod state;
mod targets;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod timestamp;
pub(crate) mod view;

pub use metrics::AdminMetrics;
pub use reconcile::Reconciler;
pub use routes::routes_table;
pub use server::serve;
pub use state::AdminDependencies;
