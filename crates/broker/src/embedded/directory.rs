//! The data directory and its lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

const LOCK_FILE: &str = "lock";

/// Creates the data directory. It will hold payloads, so no other user may read it.
pub(super) fn create(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Locks the directory for this process while the returned file is open. The lock ends with the
/// process, however it ends.
///
/// # Errors
/// A sentence naming the directory, when another process holds it or it cannot be written to.
pub fn lock_data_dir(directory: &Path) -> Result<File, String> {
    let shown = directory.display();
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(directory.join(LOCK_FILE))
        .map_err(|error| format!("the data directory {shown} cannot be written to: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "the data directory {shown} is in use by another process"
        )),
        Err(TryLockError::Error(error)) => Err(format!(
            "the data directory {shown} cannot be locked: {error}"
        )),
    }
}
