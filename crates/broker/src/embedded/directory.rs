//! The data directory and its lock.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

pub(super) const QUEUE_FILE: &str = "queue.db";
pub(super) const LOCK_FILE: &str = "lock";
/// See `clock.rs`.
pub(super) const CLOCK_FILE: &str = "clock";
/// Read and written by the owner alone.
pub(super) const PRIVATE: u32 = 0o600;

/// Creates the data directory. It will hold payloads, so no other user may read it.
pub(super) fn create(directory: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Creates the database for its owner alone, whatever the umask is, and makes the files of an older
/// version private. SQLite gives `-wal` and `-shm` the mode of the database. Warns about a directory
/// that other users can read: it was made by someone else, who may have a reason.
pub(super) fn make_private(directory: &Path, database: &Path) -> io::Result<()> {
    private_file().append(true).open(database)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut file = database.as_os_str().to_owned();
        file.push(suffix);
        match fs::set_permissions(&file, Permissions::from_mode(PRIVATE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    let mode = fs::metadata(directory)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            directory = %directory.display(),
            mode = format!("{mode:o}"),
            "other users can reach into the data directory (chmod 700 makes it private)"
        );
    }
    Ok(())
}

fn private_file() -> fs::OpenOptions {
    let mut options = File::options();
    options.create(true).mode(PRIVATE);
    options
}

/// Writes a file for the owner alone, wholly or not at all.
pub(super) fn replace_file(file: &Path, contents: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut writing = private_file().write(true).truncate(true).open(&new)?;
    writing.set_permissions(Permissions::from_mode(PRIVATE))?;
    writing.write_all(contents)?;
    writing.sync_all()?;
    fs::rename(&new, file)
}

/// Locks the directory for this process while the returned file is open. The lock ends with the
/// process, however it ends.
///
/// # Errors
/// A sentence naming the directory, when another process holds it or it cannot be written to.
pub fn lock_data_dir(directory: &Path) -> Result<File, String> {
    let shown = directory.display();
    let file = private_file()
        .write(true)
        .truncate(false)
        .open(directory.join(LOCK_FILE))
        .and_then(|file| {
            file.set_permissions(Permissions::from_mode(PRIVATE))?;
            Ok(file)
        })
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
