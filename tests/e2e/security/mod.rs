//! Authentication, the SSRF guard, TLS, hostile targets, and secrets that must not leak.
//!
//! - `auth/`: keys and signatures of callers, and limits per app
//! - `key_rotation.rs`: keys that change under load
//! - `guard/`: the address guard (SSRF guard)
//! - `ssrf_no_call.rs`: attempts that end before a request is sent
//! - `tls/`: certificates of targets and of the gateway
//! - `hostile_clients.rs`: clients that attack the listeners
//! - `fail_points.rs`: what is shipped has none
//! - `failure_logs.rs`: failures that strangers cause: counted, slowed, and few lines in the log
//! - `hostile_targets.rs`: targets that attack the dispatcher
//! - `target_connections.rs`: any number of targets leaves the listeners their connections
//! - `secret_leaks/`: secrets and payloads in logs, metrics, answers and tables

mod auth;
mod fail_points;
mod failure_logs;
mod guard;
mod hostile_clients;
mod hostile_targets;
mod key_rotation;
mod secret_leaks;
mod ssrf_no_call;
mod target_connections;
pub(crate) mod tls;
