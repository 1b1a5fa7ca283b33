//! A database at one moment, and its copy.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::embedded::directory::PRIVATE;

/// Copied at once: 4 MiB with pages of 4 KiB.
const STEP_PAGES: i32 = 1_024;
/// The disk is synced after so many steps: one sync of all of it would hold up those of the process
/// that serves callers.
const STEPS_PER_SYNC: u32 = 8;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// A database as it was when this was opened.
#[derive(Debug)]
pub struct DatabaseSnapshot {
    file: PathBuf,
    /// In a read transaction.
    connection: Connection,
    schema: i64,
    bytes: u64,
}

impl DatabaseSnapshot {
    pub(super) fn open(file: &Path) -> Result<Self, String> {
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(file, flags)?;
            connection.pragma_update(None, "query_only", true)?;
            connection.execute_batch("BEGIN")?;
            let number = |pragma: &str| {
                let sql = format!("PRAGMA {pragma}");
                connection.query_row(&sql, [], |row| row.get::<_, i64>(0))
            };
            // The first read opens the snapshot.
            let pages = number("page_count")?;
            let bytes = u64::try_from(pages * number("page_size")?).unwrap_or(0);
            let schema = number("user_version")?;
            Ok(Self {
                file: file.to_owned(),
                schema,
                bytes,
                connection,
            })
        };
        open().map_err(|error: rusqlite::Error| {
            format!("{} cannot be opened: {error}", file.display())
        })
    }

    /// The file that was opened.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The version of its tables.
    pub const fn schema(&self) -> i64 {
        self.schema
    }

    /// The size of its copy.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Copies it into a new file that is complete without a write-ahead log, synced, and checked.
    /// `progress` hears how many bytes are copied.
    ///
    /// # Errors
    /// A sentence that names the file: the target exists or cannot be written, or the copy is damaged
    /// because its original is.
    pub fn copy_to(&self, target: &Path, progress: &mut dyn FnMut(u64)) -> Result<(), String> {
        let written = |error: io::Error| format!("{} cannot be written: {error}", target.display());
        let mut options = File::options();
        options.write(true).create_new(true).mode(PRIVATE);
        let file = options.open(target).map_err(written)?;
        self.copy_pages(target, &file, progress)
            .and_then(|()| finish(target))
            .map_err(|error| {
                let (from, to) = (self.file.display(), target.display());
                format!("{from} cannot be copied to {to}: {error}")
            })?;
        file.sync_all().map_err(written)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a command of its own has no runtime"
    )]
    fn copy_pages(
        &self,
        target: &Path,
        file: &File,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CopyError> {
        let mut copy = Connection::open(target)?;
        // A copy that was interrupted is of no use: it needs neither a rollback nor SQLite's syncs.
        copy.pragma_update(None, "journal_mode", "OFF")?;
        copy.pragma_update(None, "synchronous", "OFF")?;
        copy.pragma_update(None, "cache_size", -8_192)?;
        let backup = Backup::new(&self.connection, &mut copy)?;
        let mut steps = 0;
        loop {
            let result = backup.step(STEP_PAGES)?;
            let seen = backup.progress();
            let copied = u64::try_from(seen.pagecount - seen.remaining).unwrap_or(0);
            let pages = u64::try_from(seen.pagecount).unwrap_or(0).max(1);
            progress(self.bytes / pages * copied);
            match result {
                StepResult::Done => break,
                StepResult::More => {}
                _ => thread::sleep(TRY_AGAIN_AFTER),
            }
            steps += 1;
            if steps % STEPS_PER_SYNC == 0 {
                file.sync_data()?;
            }
        }
        Ok(())
    }
}

/// Makes the copy a file without a log, and checks it.
fn finish(copy: &Path) -> Result<(), CopyError> {
    let connection = Connection::open(copy)?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match &*found {
        "ok" => Ok(()),
        problem => Err(CopyError::Damaged(problem.replace('\n', " "))),
    }
}

/// Why a copy failed.
#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
    #[error(transparent)]
    Disk(#[from] io::Error),
    #[error("it is damaged ({0}); runbook: the data directory is damaged")]
    Damaged(String),
}
