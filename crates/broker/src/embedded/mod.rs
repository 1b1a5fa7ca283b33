//! The adapter for one process with one data directory, on SQLite.
//!
//! - `broker.rs`: [`EmbeddedBroker`], the adapter's entry point, and [`EmbeddedOptions`].
//! - `store/`: the thread that owns the database, its commands and its schema.
//! - `queue/`: which message is next, delivery and leases.
//! - `replies.rs`: replies within the process; `control.rs`: messages to all its listeners.
//! - `directory.rs`: the lock of the data directory. `clock.rs`: the time.
//! - `backup/`: backup and restore of the data directory.
//! - `check/`: whether a file and its write-ahead log are damaged.

mod backup;
mod broker;
mod check;
mod clock;
mod control;
mod directory;
pub(crate) mod queue;
mod replies;
mod store;

pub use backup::{DatabaseSnapshot, DirectorySnapshot, RestoredDirectory, check_queue_version};
pub(crate) use broker::EmbeddedBroker;
pub use broker::EmbeddedOptions;
pub use check::check_database;
pub use clock::StoreClock;
pub(crate) use control::ControlListeners;
pub use directory::lock_data_dir;
pub(crate) use queue::consumer::EmbeddedConsumer;
pub use store::space::free_bytes;

#[cfg(test)]
mod tests;
