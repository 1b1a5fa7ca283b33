//! The directory of one instance within the spool's directory, and its lock.
//!
//! Each instance has a directory of its own, which it holds by a lock. The lock ends with the process,
//! however it ends: a directory whose lock is free is an orphan, and whoever locks it owns its files.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

const PREFIX: &str = "recorder-";
const LOCK_FILE: &str = "lock";
/// Read and written by the owner alone: dead letters hold payloads.
pub(super) const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;
/// Another instance may take a new directory for an orphan before it is locked.
const TRIES: usize = 5;

/// The locked directory of an instance.
#[derive(Debug)]
pub(super) struct InstanceDirectory {
    path: PathBuf,
    /// Locked while it is open.
    _lock: File,
}

/// The directories of instances that have ended.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    pub(super) adopted: Vec<InstanceDirectory>,
    /// Those that cannot be locked, and why.
    pub(super) refused: Vec<(PathBuf, io::Error)>,
}

impl InstanceDirectory {
    /// Creates a directory for this instance in `root`, which is created as well.
    pub(super) fn create(root: &Path) -> io::Result<Self> {
        let mut builder = DirBuilder::new();
        builder.mode(PRIVATE_DIRECTORY);
        builder.recursive(true).create(root)?;
        builder.recursive(false);
        for _ in 0..TRIES {
            let path = root.join(format!("{PREFIX}{}", Uuid::now_v7()));
            builder.create(&path)?;
            match Self::lock(path) {
                Ok(Some(locked)) => return Ok(locked),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("other instances remove it at once"))
    }

    /// Locks every directory in `root` that no running instance holds.
    pub(super) fn adopt_orphans(root: &Path) -> io::Result<Orphans> {
        let mut orphans = Orphans::default();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let is_instance = entry
                .file_name()
                .to_str()
                .and_then(|name| name.strip_prefix(PREFIX))
                .is_some_and(|name| Uuid::parse_str(name).is_ok());
            if !is_instance || entry.file_type().is_ok_and(|it| !it.is_dir()) {
                continue;
            }
            match Self::lock(entry.path()) {
                Ok(Some(orphan)) => orphans.adopted.push(orphan),
                Ok(None) => {} // It is in use.
                // Its owner has just removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => orphans.refused.push((entry.path(), error)),
            }
        }
        Ok(orphans)
    }

    /// `None`: another process holds it.
    fn lock(path: PathBuf) -> io::Result<Option<Self>> {
        let file = path.join(LOCK_FILE);
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(PRIVATE_FILE)
            .open(&file)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Its owner may have removed it between the open and the lock.
        let is_linked = fs::metadata(&file)?.ino() == lock.metadata()?.ino();
        Ok(is_linked.then_some(Self { path, _lock: lock }))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the directory, which holds nothing but the lock any more.
    pub(super) fn remove(self) {
        let removed = fs::remove_file(self.path.join(LOCK_FILE));
        if let Err(error) = removed.and_then(|()| fs::remove_dir(&self.path)) {
            let directory = self.path.display();
            tracing::warn!(%directory, %error, "an empty directory of the spool cannot be removed");
        }
    }
}
