//! Backup and restore of a data directory.
//!
//! - `snapshot.rs`: the databases of a directory at one moment, while its process runs.
//! - `copy.rs`: one of them, copied into a file of its own.
//! - `restore.rs`: a directory that is being restored.

mod copy;
mod restore;
mod snapshot;
#[cfg(test)]
mod tests;

pub use copy::DatabaseSnapshot;
pub(super) use restore::refuse_unfinished;
pub use restore::{RestoredDirectory, check_queue_version};
pub use snapshot::DirectorySnapshot;
