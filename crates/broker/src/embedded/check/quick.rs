//! SQLite's own check of a file, within a bounded time.

use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// How long the check may take. A larger file is checked as far as that goes.
const MAX_DURATION: Duration = Duration::from_secs(3);

/// Walks the pages of the file, its log included. It does not read what no page refers to, and does
/// not notice changed bytes within a body.
pub(super) fn check(database: &Path) -> Result<(), String> {
    check_within(database, MAX_DURATION)
}

fn check_within(database: &Path, limit: Duration) -> Result<(), String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(database, flags).map_err(|error| error.to_string())?;
    let handle = connection.get_interrupt_handle();
    let (done, ended) = mpsc::channel::<()>();
    let checked = std::thread::scope(|scope| {
        scope.spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let checked =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
        drop(done);
        checked
    });
    match checked {
        Ok(result) if result == "ok" => Ok(()),
        Ok(problem) => Err(problem.replace('\n', " ")),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            tracing::info!(
                file = %database.display(), limit_s = limit.as_secs(),
                "the file is large and was checked in part; `PRAGMA integrity_check` checks it all"
            );
            Ok(())
        }
        // Another process holds a lock on it, for instance a shell.
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ) =>
        {
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_takes_too_long_ends_and_refuses_nothing() {
        let name = format!("ringback-quick-{}.db", std::process::id());
        let file = std::env::temp_dir().join(name);
        let connection = Connection::open(&file).unwrap();
        let fill = "CREATE TABLE t (a BLOB); WITH RECURSIVE n(i) AS
            (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
            INSERT INTO t SELECT zeroblob(2000) FROM n";
        connection.execute_batch(fill).unwrap();
        assert_eq!(check_within(&file, Duration::ZERO), Ok(()));
        assert_eq!(check_within(&file, MAX_DURATION), Ok(()));
        drop(connection);
        std::fs::remove_file(file).unwrap();
    }
}
