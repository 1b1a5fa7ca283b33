//! The operators' HTTP API, served on its own listener (`admin.listen`).
//!
//! - `routes.rs`: the table of all routes. Start here.
//! - `server.rs`: the listener and its background tasks; `state.rs`: the state of the handlers.
//! - `auth.rs`: who may send a request; `proxy_sign_in.rs`: whom a proxy names; `session.rs`: the console's sessions. `access.rs`: counts, logs and slows failures.
//! - `openapi/`: the OpenAPI document of the API; `filter_schema.rs`: its filter. `api_docs.rs` serves it.
//!   `compress.rs`: large answers.
//! - `metrics.rs`: what the listener counts.
//! - Handlers: `callbacks.rs`, `payload.rs` (messages and answers), `dead_letters/` (list, replay,
//!   discard), `bulk/` (retry now, cancel, replay, erase, expedite and recover many), `pauses.rs`,
//!   `unreadable/` (messages that could not be decoded), `audit.rs` (also writes the audit log),
//!   `stats.rs` (what happened in a time), `doctor/` (is all well?), `guard.rs` (may this target be called?).
//! - Handlers that ask all processes (`processes.rs`): `instances.rs`, `targets.rs` with
//!   `merge_targets.rs`, `apps.rs`, `attempts.rs` with `watched_attempts.rs`, `holders.rs`, `reload.rs`; `process_view.rs` is their JSON. `gather_facts.rs`
//!   asks them about one callback; `end_facts.rs`: why one has ended. `pace.rs`: how fast targets take calls; `estimate.rs`: when all that a
//!   command retries has been attempted.
//! - `groups.rs`: callbacks grouped by what they have in common.
//! - `operations/`: acts on many callbacks that this process works through, for the console.
//! - `republish/`: publishes what the journal has given out to be retried or replayed.
//! - `reconcile/`: compares the dead-letter queue with the journal.
//! - Requests: `query_params.rs` (lists), `body.rs`, `bulk_request.rs` (acts on many),
//!   `timestamp.rs`, `request_ids.rs` (whole, or by their first digits). `known_callees.rs`: names of callees, and numbers that nobody knows.
//! - Responses: `response.rs`, `view.rs`, `bulk_view.rs`, `stats_view.rs` and `rfc3339.rs` (the JSON), `explain/` (a callback's state
//!   in words), `reason.rs`, `error.rs` (problem details).

pub(crate) mod access;
mod api_docs;
pub(crate) mod apps;
pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod auth;
mod body;
pub(crate) mod bulk;
pub(crate) mod bulk_request;
pub(crate) mod bulk_view;
pub(crate) mod callbacks;
mod compress;
pub(crate) mod dead_letters;
pub(crate) mod doctor;
mod end_facts;
pub(crate) mod error;
pub(crate) mod estimate;
pub(crate) mod explain;
mod filter_schema;
mod gather_facts;
pub(crate) mod groups;
mod guard;
mod holders;
pub(crate) mod instances;
mod known_callees;
mod merge_targets;
mod metrics;
pub mod openapi;
pub(crate) mod operations;
pub(crate) mod pace;
pub(crate) mod pauses;
pub(crate) mod payload;
pub(crate) mod process_view;
mod processes;
mod proxy_sign_in;
pub(crate) mod query_params;
pub(crate) mod reason;
mod reconcile;
mod reload;
mod republish;
pub(crate) mod request_ids;
mod response;
pub(crate) mod rfc3339;
mod routes;
mod server;
pub(crate) mod session;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod stats_view;
pub(crate) mod targets;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod timestamp;
pub(crate) mod unreadable;
pub(crate) mod view;
pub(crate) mod watched_attempts;

pub use auth::AdminTokens;
pub use doctor::sources::DoctorSources;
pub use metrics::AdminMetrics;
pub use reconcile::Reconciler;
pub use routes::routes_table;
pub use server::serve;
pub use state::{AdminDependencies, SettingsSource};
