//! Ingress: turns a caller's request into a durable message, and answers queries about it.
//!
//! Start at `routes/accept.rs`, the main path.
//!
//! - `server.rs`: the HTTP server. `state.rs`: what it is built from, and the state of `routes/`.
//! - `config/`: the sections `ingress`, `auth` and `apps`. `metrics.rs`: what ingress counts.
//! - `routes/`: one file per route (accept, query, cancel), and the answers to unknown paths.
//! - `openapi/`: the OpenAPI document of the callers' API. `cors.rs`: web pages of named origins.
//! - `auth.rs`: authenticates callers and enforces their limits. `origin.rs`: pages of other origins.
//! - `validate_target.rs`: rejects targets that must not be called.
//! - `admission.rs`: decides whether a callback is admitted. `load/`: the figures that it decides
//!   by.
//! - `throttle/`: slows the intake down while first attempts are late.
//! - `canary.rs`: shows whether anything comes out of the queues. `probe.rs`: what it sends.
//! - `quota.rs`: what an app has left of its limits.
//! - `spans.rs`: the trace of a request.
//! - `traffic.rs`: how the requests of each app were answered in the last minute.
//! - `intake.rs`: the switch that stops intake.
//! - `enqueue.rs`: publishes and records a callback. `message.rs`: the message it publishes.
//! - `idempotency.rs`: one callback per idempotency key.
//! - `lookup.rs`: finds and cancels callbacks. `watermark.rs`: what has left the journal's queue.
//! - `holders.rs`: asks whether a process holds a callback now.
//! - `preferences.rs`: `Prefer: wait=N`. `wait/`: waits for an attempt or a final status.
//! - `rejection.rs`, `response.rs`, `report.rs`: rejections, HTTP responses, callback reports.
//!
//! The listener, which bounds heads and bodies, is `runtime::http`.

mod admission;
mod auth;
mod canary;
pub mod config;
mod cors;
mod enqueue;
mod holders;
mod idempotency;
mod intake;
mod load;
mod lookup;
mod message;
mod metrics;
pub mod openapi;
mod origin;
mod preferences;
mod probe;
mod quota;
mod rejection;
mod report;
mod response;
mod routes;
mod server;
mod spans;
mod state;
mod throttle;
mod traffic;
mod validate_target;
mod wait;
mod watermark;

#[cfg(test)]
mod tests;

pub use config::{AppConfig, AuthConfig, HttpStatusMode, IngressConfig};
pub use holders::IsHeld;
pub use metrics::IngressMetrics;
pub use server::serve;
pub use state::IngressDependencies;
pub use traffic::AppTraffic;
