//! The embedded store: one thread that owns the database.
//!
//! - `thread.rs`: group commit: all waiting commands share one sync.
//! - `command.rs`: the commands to the thread. `batch.rs`: one transaction.
//! - `held.rs`: which messages there are, read beside the thread.
//! - `schema.rs`: the SQLite file. `space.rs`: the free space of the disk. `files.rs`: whether the
//!   files are still there.
//! - `state.rs`: what the thread and the consumers share in memory.

pub(super) mod batch;
pub(super) mod command;
pub(super) mod files;
pub(super) mod held;
pub(super) mod schema;
pub(super) mod space;
pub(super) mod state;
pub(super) mod thread;
