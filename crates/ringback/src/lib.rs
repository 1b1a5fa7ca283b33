//! The one binary: roles that run until they are stopped, and commands.
//!
//! - `commands/`: the command line, one file per command
//! - `app/`: the settings, and what every role is assembled from
//! - `backup/`: backups of the embedded store
//! - `callee_probe/`: grades a callee before it goes live
//! - `recording/`: writes records into the journal
//! - `dev/`: `ringback dev`
//! - `practice_callee/`: a target that does what its path says; the tests use it as well
//! - `topology/`: compares RabbitMQ with the expected topology
//! - `http.rs`, `lang.rs`, `error.rs`: shared by commands

#![recursion_limit = "256"] // The futures of the roles nest deeply.

mod app;
mod backup;
mod callee_probe;
mod commands;
mod dev;
mod error;
mod http;
mod lang;
pub mod practice_callee;
mod recording;
mod topology;

pub use commands::Cli;
pub use error::CommandError;
