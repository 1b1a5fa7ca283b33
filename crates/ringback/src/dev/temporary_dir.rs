//! The temporary directory of a `dev` process, and those that dead ones have left.
//!
//! A process holds a lock on a file in its directory for as long as it lives. A directory whose locks
//! are free belongs to nobody any more.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What the name begins with; the process id follows.
const PREFIX: &str = "ringback-dev-";
/// Locked by the process, from before the directory has its name.
const LOCK_FILE: &str = "dev.lock";
/// Locked by the embedded store: all that a directory of 0.2.0 has.
const STORE_LOCK_FILE: &str = "lock";
/// A directory that is still being made is left alone for this long.
const UNFINISHED_AGE: Duration = Duration::from_secs(60 * 60);

/// A directory that is removed with this value.
#[derive(Debug)]
pub(super) struct TemporaryDir {
    pub(super) path: PathBuf,
    /// Released after the directory is gone.
    _lock: File,
}

/// The path that a process has in this directory.
pub(super) fn path_in(parent: &Path) -> PathBuf {
    parent.join(format!("{PREFIX}{}", std::process::id()))
}

impl TemporaryDir {
    /// Creates the directory of this process, with its lock held.
    ///
    /// # Errors
    /// When it cannot be created: it exists and is not that of a dead process, or the parent cannot be
    /// written.
    pub(super) fn create(parent: &Path) -> io::Result<Self> {
        let path = path_in(parent);
        // Under another name until it is locked, so that nobody takes it for one of a dead process.
        let unfinished = parent.join(format!(".{PREFIX}{}", std::process::id()));
        // Empty: a process with this id died before it had a lock.
        let _ = fs::remove_dir(&unfinished);
        DirBuilder::new().mode(0o700).create(&unfinished)?;
        let created = lock(&unfinished).and_then(|lock| {
            let owner = fs::symlink_metadata(&unfinished)?.uid();
            // In a container each process has the id of the one before. In a shared /tmp it could be
            // another user's.
            if fs::symlink_metadata(&path).is_ok() && !remove_if_dead(&path, owner) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(&unfinished, &path)?;
            Ok(Self { path, _lock: lock })
        });
        created.inspect_err(|_| {
            let _ = fs::remove_dir_all(&unfinished);
        })
    }
}

fn lock(directory: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(0o600);
    let file = options.open(directory.join(LOCK_FILE))?;
    file.try_lock().map_err(io::Error::from)?;
    Ok(file)
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "cannot remove the temporary directory");
        }
    }
}

/// Removes the directories that dead processes have left beside this one, and returns how many.
pub(super) fn sweep(own: &TemporaryDir) -> usize {
    let Some(parent) = own.path.parent() else {
        return 0;
    };
    let (Ok(entries), Ok(metadata)) = (fs::read_dir(parent), fs::symlink_metadata(&own.path))
    else {
        return 0;
    };
    let owner = metadata.uid();
    let paths = entries.flatten().map(|entry| entry.path());
    let paths = paths.filter(|path| *path != own.path);
    paths.filter(|path| remove_if_dead(path, owner)).count()
}

/// Removes the directory if it is one of ours, and no process holds it.
fn remove_if_dead(path: &Path, owner: u32) -> bool {
    let Some(is_finished) = is_finished(path) else {
        return false;
    };
    // Of the name itself: a symbolic link is never followed. Nobody else can put another thing in the
    // place of a directory of ours in a shared /tmp.
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return false;
    };
    if !is_ours(&metadata, owner) || !(is_finished || is_old(&metadata)) {
        return false;
    }
    // Held until the directory is gone.
    match locks_of_dead(path) {
        // Follows no symbolic link within it either.
        Some(_locks) => fs::remove_dir_all(path).is_ok(),
        // Removes it only if it is empty: its process died before it had a lock.
        None => !is_finished && fs::remove_dir(path).is_ok(),
    }
}

/// Whether the name is that of a finished directory, or of one that was being made. `None`: neither.
fn is_finished(path: &Path) -> Option<bool> {
    let name = path.file_name()?.to_str()?;
    let (is_finished, name) = match name.strip_prefix('.') {
        Some(name) => (false, name),
        None => (true, name),
    };
    let pid = name.strip_prefix(PREFIX)?;
    let digits = !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(is_finished)
}

fn is_ours(metadata: &Metadata, owner: u32) -> bool {
    metadata.is_dir() && metadata.uid() == owner && metadata.mode() & 0o077 == 0
}

fn is_old(metadata: &Metadata) -> bool {
    let modified = metadata.modified().ok();
    let age = modified.and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age > UNFINISHED_AGE)
}

/// Takes the locks of the directory. `None`: a process holds one, or there is none to decide by.
fn locks_of_dead(directory: &Path) -> Option<Vec<File>> {
    let mut locks = Vec::new();
    for name in [LOCK_FILE, STORE_LOCK_FILE] {
        let path = directory.join(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                let file = File::options().write(true).open(&path).ok()?;
                file.try_lock().ok()?;
                locks.push(file);
            }
            Ok(_) => return None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return None,
        }
    }
    (!locks.is_empty()).then_some(locks)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A parent of its own for a test.
    struct Parent(PathBuf);

    impl Parent {
        fn new(name: &str) -> Self {
            let id = std::process::id();
            let path = std::env::temp_dir().join(format!("ringback-sweep-{name}-{id}"));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// A directory with a lock file that nobody holds.
        fn dead(&self, name: &str, lock: &str) -> PathBuf {
            let path = self.0.join(name);
            DirBuilder::new().mode(0o700).create(&path).unwrap();
            if !lock.is_empty() {
                File::create(path.join(lock)).unwrap();
            }
            path
        }
    }

    impl Drop for Parent {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn the_directory_is_private_and_goes_with_its_owner() {
        let parent = Parent::new("own");
        let own = TemporaryDir::create(&parent.0).unwrap();
        let mode = fs::metadata(&own.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let again = TemporaryDir::create(&parent.0).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        let path = own.path.clone();
        drop(own);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(&parent.0).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_process_with_the_same_id_is_in_nobodys_way() {
        let parent = Parent::new("same-id");
        let own = path_in(&parent.0);
        let name = own.file_name().unwrap().to_str().unwrap();
        parent.dead(name, LOCK_FILE);
        fs::write(own.join("queue.db"), "x").unwrap();
        parent.dead(&format!(".{name}"), "");
        let created = TemporaryDir::create(&parent.0).unwrap();
        assert_eq!(created.path, own);
        assert!(!own.join("queue.db").exists());
        assert_eq!(fs::read_dir(&parent.0).unwrap().count(), 1);
    }

    #[test]
    fn what_dead_processes_left_is_removed_and_nothing_else() {
        let parent = Parent::new("dead");
        let dead = [
            parent.dead("ringback-dev-1", LOCK_FILE),
            parent.dead("ringback-dev-2", STORE_LOCK_FILE),
        ];
        fs::write(dead[0].join("queue.db"), "x").unwrap();
        let alive = parent.dead("ringback-dev-3", LOCK_FILE);
        let held = File::options().write(true).open(alive.join(LOCK_FILE));
        let held = held.unwrap();
        held.try_lock().unwrap();
        let by_store = parent.dead("ringback-dev-4", LOCK_FILE);
        let store = File::create(by_store.join(STORE_LOCK_FILE)).unwrap();
        store.try_lock().unwrap();
        let shared = parent.dead("ringback-dev-5", LOCK_FILE);
        fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
        let left = [
            alive,
            by_store,
            shared,
            parent.dead("ringback-dev-6", ""), // No lock to decide by.
            parent.dead("ringback-dev-", LOCK_FILE), // Another name.
            parent.dead("ringback-dev-7x", LOCK_FILE), // Another name.
            parent.dead(".ringback-dev-8", LOCK_FILE), // Being made just now.
        ];
        let own = TemporaryDir::create(&parent.0).unwrap();
        assert_eq!(sweep(&own), 2);
        assert!(dead.iter().all(|path| !path.exists()));
        assert!(left.iter().all(|path| path.exists()));
        assert!(own.path.join(LOCK_FILE).exists());
        drop((held, store));
        assert_eq!(sweep(&own), 2);
    }

    #[test]
    fn symbolic_links_are_never_followed() {
        let parent = Parent::new("link");
        let elsewhere = parent.dead("elsewhere", LOCK_FILE);
        symlink(&elsewhere, parent.0.join("ringback-dev-1")).unwrap();
        // The lock is a link to one that is free.
        let linked_lock = parent.dead("ringback-dev-2", "");
        symlink(elsewhere.join(LOCK_FILE), linked_lock.join(LOCK_FILE)).unwrap();
        // A link within a dead directory: it is removed, and its target is not.
        let dead = parent.dead("ringback-dev-3", LOCK_FILE);
        symlink(&elsewhere, dead.join("out")).unwrap();
        let own = TemporaryDir::create(&parent.0).unwrap();
        assert_eq!(sweep(&own), 1);
        assert!(!dead.exists() && linked_lock.exists());
        assert!(elsewhere.join(LOCK_FILE).exists());
    }
}
