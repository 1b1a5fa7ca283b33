//! The databases of a data directory at one moment, while its process runs.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::copy::DatabaseSnapshot;
use crate::embedded::check::check_database;
use crate::embedded::directory::{LOCK_FILE, QUEUE_FILE};

/// How often the process that writes is asked for its turn, and how long between two times. It gives
/// the lock back after each commit, for some microseconds.
const TRIES: i32 = 30_000;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(1);

/// The queue and the databases beside it, as a crash at one moment would leave them.
///
/// They stay at that moment while this value lives, and their write-ahead logs grow meanwhile.
#[derive(Debug)]
pub struct DirectorySnapshot {
    queue: DatabaseSnapshot,
    beside: Vec<DatabaseSnapshot>,
}

impl DirectorySnapshot {
    /// Opens the snapshots. `beside`: databases that tell what becomes of the messages of the queue.
    /// `in_between` is called when nothing is written to the queue any more, and before the databases
    /// beside it are opened: it takes what is on its way to them. It must be quick, because the
    /// process that writes waits.
    ///
    /// # Errors
    /// A sentence that names the file: there is no queue, a file is damaged, or it cannot be opened.
    pub fn open<T>(
        directory: &Path,
        beside: &[&Path],
        in_between: impl FnOnce() -> Result<T, String>,
    ) -> Result<(Self, T), String> {
        let queue = directory.join(QUEUE_FILE);
        if !queue.is_file() {
            return Err(format!("{} does not exist", queue.display()));
        }
        // Held until the snapshots are open, unless a process runs, which has checked them.
        let _lock = lock_of_ended_process(directory)?.map_or(Ok(None), |lock| {
            let mut all = [&*queue].into_iter().chain(beside.iter().copied());
            all.try_for_each(check_database).map(|()| Some(lock))
        })?;
        let held = hold(&queue)
            .map_err(|error| format!("{} cannot be held for a moment: {error}", queue.display()))?;
        let taken = in_between()?;
        let snapshot = Self {
            queue: DatabaseSnapshot::open(&queue)?,
            beside: beside
                .iter()
                .map(|database| DatabaseSnapshot::open(database))
                .collect::<Result<_, _>>()?,
        };
        // Closing it ends its transaction, in which nothing was written.
        drop(held);
        Ok((snapshot, taken))
    }

    /// The queue, then the databases beside it.
    pub fn databases(&self) -> impl Iterator<Item = &DatabaseSnapshot> {
        [&self.queue].into_iter().chain(&self.beside)
    }
}

/// The directory's lock; `None` while a process holds it.
fn lock_of_ended_process(directory: &Path) -> Result<Option<File>, String> {
    let path = directory.join(LOCK_FILE);
    let unusable = |error| format!("{} cannot be locked: {error}", path.display());
    // It is not created: it could belong to another user than the process that needs it.
    let file = match File::options().write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return File::open(directory).map(Some).map_err(unusable);
        }
        Err(error) => return Err(unusable(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// A connection with the write lock of a database.
#[expect(
    clippy::disallowed_methods,
    reason = "a command of its own has no runtime"
)]
fn hold(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_handler(Some(|tries| {
        thread::sleep(TRY_AGAIN_AFTER);
        tries < TRIES
    }))?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    Ok(connection)
}
