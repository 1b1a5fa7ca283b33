//! Creates the tables, and refuses those of another version.
//!
//! One SQLite file (`journal.db`) in WAL mode with `synchronous=FULL`: a commit returns after the
//! write-ahead log is synced. The `sqlite3` shell can open it. Times are Unix ms.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

/// The version of the tables. Versions 1 and 2 are from before 0.2.0 and are not upgraded.
const VERSION: i64 = 8;
/// The version of [`TABLES`], and the oldest that can be upgraded: that of 0.2.0.
const OLDEST: i64 = 3;
/// What each later version adds, in order. A migration that was released is never edited.
const MIGRATIONS: [&str; 5] = [
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
];

/// The tables and columns of `postgres/schema.sql`, version [`OLDEST`]. The body is the last column, so that reading
/// the others does not read it.
const TABLES: &str = "
    CREATE TABLE callbacks (
        request_id          BLOB NOT NULL PRIMARY KEY, -- a UUID v7, in the order of acceptance
        app_id              TEXT NOT NULL,
        caller_no           TEXT,
        callee_no           TEXT,
        message_type        TEXT NOT NULL,
        callback_url        TEXT,
        target              TEXT NOT NULL,
        accepted_at         INTEGER NOT NULL,
        -- The merge key of the record that won; compared as a tuple.
        generation          INTEGER NOT NULL,
        progress            INTEGER NOT NULL,
        updated_at          INTEGER NOT NULL,
        tiebreak            INTEGER NOT NULL,
        status              TEXT NOT NULL,
        reason              TEXT,
        deferred_reason     TEXT,
        next_attempt_at     INTEGER,
        cancel_requested    INTEGER NOT NULL DEFAULT 0, -- while it may have been in flight
        cancel_requested_at INTEGER, -- the last request, whether it took effect at once or not
        discarded           INTEGER NOT NULL DEFAULT 0,
        replay_taken_at     INTEGER, -- set while a replay is taken and not yet confirmed
        dead_letter_since   INTEGER, -- set where dead_letter is, but not during a replay
        dead_letter         BLOB
    ) STRICT;
    CREATE INDEX callbacks_app ON callbacks (app_id, request_id);
    CREATE INDEX callbacks_callee_status ON callbacks (callee_no, status, request_id)
        WHERE callee_no IS NOT NULL;
    CREATE INDEX callbacks_target_status ON callbacks (target, status, request_id);
    CREATE INDEX callbacks_unfinished ON callbacks (request_id)
        WHERE status IN ('queued', 'retrying');
    CREATE INDEX callbacks_dead ON callbacks (request_id)
        WHERE status IN ('dead', 'expired') AND discarded = 0;
    CREATE INDEX callbacks_cancel_requested ON callbacks (cancel_requested_at)
        WHERE cancel_requested_at IS NOT NULL;
    CREATE INDEX callbacks_replay_taken ON callbacks (replay_taken_at)
        WHERE replay_taken_at IS NOT NULL;
    CREATE INDEX callbacks_dead_letter ON callbacks (dead_letter_since)
        WHERE dead_letter_since IS NOT NULL;

    CREATE TABLE attempts (
        request_id  BLOB NOT NULL,
        generation  INTEGER NOT NULL,
        number      INTEGER NOT NULL,
        run         INTEGER NOT NULL, -- 64 bits, read as signed
        started_at  INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        outcome     TEXT NOT NULL,
        http_status INTEGER,
        detail      TEXT,
        PRIMARY KEY (request_id, generation, number, run)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE idempotency_keys (
        app_id      TEXT NOT NULL,
        key         TEXT NOT NULL,
        request_id  BLOB NOT NULL,
        body_hash   BLOB NOT NULL,
        claimed_at  INTEGER NOT NULL,
        lease_until INTEGER NOT NULL,
        confirmed   INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (app_id, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX idempotency_keys_age ON idempotency_keys (claimed_at);

    CREATE TABLE audit_log (
        id          INTEGER PRIMARY KEY,
        occurred_at INTEGER NOT NULL,
        actor       TEXT NOT NULL,
        action      TEXT NOT NULL,
        subject     TEXT NOT NULL,
        reason      TEXT NOT NULL,
        count       INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX audit_log_age ON audit_log (occurred_at, id);

    CREATE TABLE pauses (
        kind      TEXT NOT NULL, -- callee or target
        name      TEXT NOT NULL,
        paused_by TEXT NOT NULL,
        paused_at INTEGER NOT NULL,
        reason    TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
";

/// Opens the file for writing, creates the file and its tables if they are missing, and upgrades
/// those of an older version.
pub(super) fn open_writer(file: &Path) -> Result<Connection, String> {
    create_private(file).map_err(|error| error.to_string())?;
    let (connection, version) = try_open_writer(file).map_err(|error| error.to_string())?;
    check_version(version)?;
    Ok(connection)
}

/// Refuses a file of another version, without changing it. A missing or new file is no error, and
/// damage is found later, with the directory locked.
pub(super) fn check(file: &Path) -> Result<(), String> {
    // SQLite would delete the log of an empty file.
    if fs::metadata(file).map_or(0, |file| file.len()) == 0 {
        return Ok(());
    }
    let found = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY);
    let found = found.and_then(|connection| version(&connection));
    let damaged = |error: &rusqlite::Error| {
        matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    };
    if found.as_ref().is_err_and(damaged) {
        return Ok(());
    }
    match found.map_err(|error| error.to_string())? {
        0 | OLDEST..VERSION => Ok(()),
        found => check_version(found),
    }
}

fn check_version(version: i64) -> Result<(), String> {
    let advice = match version {
        OLDEST..=VERSION => return Ok(()),
        older if older < OLDEST => {
            "it is from before ringback 0.2.0; move journal.db, journal.db-wal and journal.db-shm \
             away, and a new one is created"
        }
        _ => "a newer ringback made it; run that version or a newer one",
    };
    Err(format!(
        "it has version {version}, this program needs version {VERSION}: {advice}"
    ))
}

/// Creates the file. It holds callers' numbers and bodies, so only its owner may read it; SQLite
/// gives its other files the same mode.
fn create_private(file: &Path) -> std::io::Result<()> {
    File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)?;
    fs::set_permissions(file, Permissions::from_mode(0o600))
}

/// Opens the file and returns its version. A file of another version is not changed.
fn try_open_writer(file: &Path) -> rusqlite::Result<(Connection, i64)> {
    let connection = Connection::open(file)?;
    prepare(&connection)?;
    let found = version(&connection)?;
    if found != 0 && !(OLDEST..=VERSION).contains(&found) {
        return Ok((connection, found));
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What a rollback to a savepoint needs stays in memory: at most what one transaction writes.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A long read lets the log grow; truncate it to 64 MiB afterwards.
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    upgrade(&connection, found)?;
    Ok((connection, VERSION))
}

/// Creates what is missing since version `found` (0: everything), all or none.
fn upgrade(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    if found == VERSION {
        return Ok(());
    }
    let mut sql = String::from("BEGIN; ");
    if found == 0 {
        sql.push_str(TABLES);
    }
    for (version, migration) in (OLDEST + 1..).zip(MIGRATIONS) {
        if version > found {
            sql.push_str(migration);
        }
    }
    sql.push_str(&format!(" PRAGMA user_version = {VERSION}; COMMIT;"));
    connection.execute_batch(&sql)?;
    if found != 0 {
        tracing::info!(version = VERSION, "journal migrated");
    }
    Ok(())
}

/// Opens the existing file for reading only.
pub(super) fn open_reader(file: &Path) -> Result<Connection, String> {
    let open = || {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "query_only", true)?;
        prepare(&connection)?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| error.to_string())
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    // 8 MiB of pages, however large the file is.
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.set_prepared_statement_cache_capacity(64);
    // The `sqlite3` shell may hold a lock.
    connection.busy_timeout(Duration::from_secs(5))
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_version_3_is_upgraded_with_its_rows() {
        let name = format!("ringback-journal-v3-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("journal.db");
        let old = Connection::open(&file).unwrap();
        let insert = "INSERT INTO audit_log (occurred_at, actor, action, subject, reason, count)
            VALUES (7, 'ann', 'replay', 'all dead letters', 'repaired', 3);";
        let create = format!("{TABLES} {insert} PRAGMA user_version = 3;");
        old.execute_batch(&create).unwrap();
        drop(old);
        assert_eq!(check(&file), Ok(()));
        for _ in 0..2 {
            let connection = open_writer(&file).unwrap();
            assert_eq!(version(&connection), Ok(VERSION));
            let select = "SELECT coalesce(updated_at, occurred_at) FROM audit_log
                WHERE operation IS NULL";
            let at: i64 = connection.query_row(select, [], |row| row.get(0)).unwrap();
            assert_eq!(at, 7);
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
