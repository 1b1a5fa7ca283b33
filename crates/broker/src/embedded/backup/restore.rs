//! A data directory that is being restored: no process starts on it before it is complete.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::embedded::directory::{self, LOCK_FILE, PRIVATE};
use crate::embedded::store::schema::refuse_newer;

/// Exists from the beginning of a restore to its end.
const MARKER: &str = "restoring";

/// A directory that was empty, and is locked. Processes refuse it until [`RestoredDirectory::finish`].
#[derive(Debug)]
pub struct RestoredDirectory {
    path: PathBuf,
    _lock: File,
}

impl RestoredDirectory {
    /// Creates or takes an empty directory.
    ///
    /// # Errors
    /// A sentence that names the directory: a process uses it, it holds something, or it cannot be
    /// written to.
    pub fn begin(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let unusable =
            |error: io::Error| format!("the data directory {shown} cannot be used: {error}");
        directory::create(path).map_err(unusable)?;
        let lock = directory::lock_data_dir(path)?;
        for entry in fs::read_dir(path).map_err(unusable)? {
            let name = entry.map_err(unusable)?.file_name();
            if name != LOCK_FILE {
                return Err(format!(
                    "the data directory {shown} is not empty ({} is in it): restore into an empty \
                     one, or move away what it holds",
                    name.display()
                ));
            }
        }
        let begun = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        begun.own(&path.join(LOCK_FILE)).map_err(unusable)?;
        begun.create(Path::new(MARKER)).map_err(unusable)?;
        sync(path).map_err(unusable)?;
        Ok(begun)
    }

    /// Creates a file in it that only the owner of the directory can read.
    ///
    /// # Errors
    /// When it exists or cannot be created.
    pub fn create(&self, name: &Path) -> io::Result<File> {
        let path = self.path.join(name);
        let mut options = File::options();
        options.write(true).create_new(true).mode(PRIVATE);
        let file = options.open(&path)?;
        self.own(&path)?;
        Ok(file)
    }

    /// Gives a file to the owner of the directory: root restores what another user will read.
    ///
    /// # Errors
    /// When that is not permitted.
    pub fn own(&self, path: &Path) -> io::Result<()> {
        let (wanted, found) = (fs::metadata(&self.path)?, fs::metadata(path)?);
        if (wanted.uid(), wanted.gid()) == (found.uid(), found.gid()) {
            return Ok(());
        }
        chown(path, Some(wanted.uid()), Some(wanted.gid()))
    }

    /// Lets processes use the directory. All files are synced by then.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn finish(self) -> io::Result<()> {
        sync(&self.path)?;
        fs::remove_file(self.path.join(MARKER))?;
        sync(&self.path)
    }
}

/// Refuses a directory whose restore was not finished.
pub(in crate::embedded) fn refuse_unfinished(path: &Path) -> Result<(), String> {
    match path.join(MARKER).exists() {
        false => Ok(()),
        true => Err(format!(
            "the data directory {} was not restored to the end: empty it, and restore again",
            path.display()
        )),
    }
}

/// Refuses a `queue.db` of a newer version than this program knows.
///
/// # Errors
/// A sentence that names the file and both versions.
pub fn check_queue_version(file: &Path) -> Result<(), String> {
    let version = || {
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.query_row("PRAGMA user_version", [], |row| row.get(0))
    };
    let version = version().map_err(|error: rusqlite::Error| error.to_string());
    version
        .and_then(refuse_newer)
        .map_err(|reason| format!("{}: {reason}", file.display()))
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
