//! What does the one binary do? Roles that serve, and commands that people run.
//!
//! Start reading at `cli.rs`, the table of contents. `role/` runs ingress and dispatcher as
//! processes of their own, `dev.rs` both in one; `callee.rs` is the practice callee, which tests
//! use as well.

mod admin;
mod ask;
pub mod callee;
mod cli;
mod dev;
mod equipment;
mod failure;
mod guard;
mod key;
mod operators;
mod reach;
mod records;
mod role;
mod say;
mod schedule;
mod topology;

pub use cli::Cli;
pub use failure::Failure;
