//! What operators do: the operators' API, commands, settings, starting and stopping.
//!
//! - `dead_letters.rs`, `replay.rs`, `pauses.rs`: by command and by API
//! - `listener.rs`: who may use the operators' API
//! - `startup.rs`, `reload.rs`: settings at start and in a running gateway
//! - `reference.rs`: the references of settings and metrics list what there is
//! - `dev.rs`: `ringback dev`
//! - `broken_stderr.rs`: a process whose log nobody reads any more

mod broken_stderr;
mod dead_letters;
mod dev;
mod listener;
mod pauses;
mod reference;
mod reload;
mod replay;
pub(crate) mod startup;
