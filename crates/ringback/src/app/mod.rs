//! What every role is assembled from.
//!
//! - `settings/`: all settings of the process
//! - `config_check.rs`: checks of the settings that need types of other crates
//! - `guards.rs`: the address guards of the settings
//! - `role.rs`: the roles
//! - `app.rs`: a running role: broker, journal, metrics, health, reload, stop
//! - `process.rs`: what this process answers to others
//! - `broker.rs`: connects a role to the broker
//! - `broker_watch.rs`: shows the broker's state on `/readyz` and in the metrics
//! - `combined.rs`: ingress and dispatcher in one process
//! - `health_server.rs`: health and metrics of a role without ingress
//! - `listeners.rs`: the listeners of each role, and ports that are taken; `occupant.rs`: by whom
//! - `without_journal.rs`: what a role cannot answer without a journal

#[expect(clippy::module_inception, reason = "`App` is what the folder is about")]
mod app;
pub(crate) mod broker;
mod broker_watch;
pub(crate) mod combined;
pub(crate) mod config_check;
pub(crate) mod guards;
pub(crate) mod health_server;
pub(crate) mod listeners;
mod occupant;
mod process;
pub(crate) mod role;
pub(crate) mod settings;
mod without_journal;

pub(crate) use app::{Additions, App};
pub(crate) use process::log_identity;
