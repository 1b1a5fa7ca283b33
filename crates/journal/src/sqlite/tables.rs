//! How do callbacks lie on disk?
//!
//! One SQLite file (`journal.db`) in WAL mode with `synchronous=FULL`: a commit returns after the
//! write-ahead log is synced. Anybody can open it with the `sqlite3` shell. Moments are Unix ms.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

/// Changes with the tables. A file of a later version is refused.
const VERSION: i64 = 2;

/// The four columns of the rank decide which record is stored over which (`precedence.rs`).
/// The body comes last, so that a look at the other columns does not read it.
const TABLES: &str = "
    CREATE TABLE callbacks (
        request_id       BLOB NOT NULL PRIMARY KEY, -- a UUID v7: its order is the order of acceptance
        app_id           TEXT NOT NULL,
        caller_no        TEXT,
        callee_no        TEXT,
        message_type     TEXT NOT NULL,
        callback_url     TEXT,
        target           TEXT NOT NULL,
        accepted_at      INTEGER NOT NULL,
        generation       INTEGER NOT NULL,
        weight           INTEGER NOT NULL,
        at               INTEGER NOT NULL,
        tie              INTEGER NOT NULL,
        status           TEXT NOT NULL,
        reason           TEXT,
        waiting_for      TEXT,
        next_attempt_at  INTEGER,
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        cancelled_at     INTEGER, -- when its caller withdrew it, or asked to
        discarded        INTEGER NOT NULL DEFAULT 0,
        replay_taken_at  INTEGER, -- until its replay is published
        dead_letter      BLOB
    ) STRICT;
    CREATE INDEX by_app ON callbacks (app_id, request_id);
    CREATE INDEX by_callee ON callbacks (callee_no, status, request_id) WHERE callee_no IS NOT NULL;
    CREATE INDEX by_target ON callbacks (target, status, request_id);
    CREATE INDEX waiting ON callbacks (request_id) WHERE status IN ('queued', 'retrying');
    CREATE INDEX dead ON callbacks (request_id)
        WHERE status IN ('dead', 'expired') AND discarded = 0;
    CREATE INDEX cancelled ON callbacks (cancelled_at) WHERE cancelled_at IS NOT NULL;
    CREATE INDEX replays ON callbacks (replay_taken_at) WHERE replay_taken_at IS NOT NULL;
    CREATE INDEX bodies ON callbacks (at)
        WHERE status IN ('dead', 'expired') AND dead_letter IS NOT NULL;

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

    CREATE TABLE claims (
        app_id      TEXT NOT NULL,
        key         TEXT NOT NULL,
        request_id  BLOB NOT NULL,
        body_hash   BLOB NOT NULL,
        claimed_at  INTEGER NOT NULL,
        lease_until INTEGER NOT NULL,
        confirmed   INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (app_id, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX by_age ON claims (claimed_at);

    CREATE TABLE audits (
        number  INTEGER PRIMARY KEY,
        at      INTEGER NOT NULL,
        who     TEXT NOT NULL,
        action  TEXT NOT NULL,
        subject TEXT NOT NULL,
        reason  TEXT NOT NULL,
        count   INTEGER NOT NULL
    ) STRICT;
";

/// Since version 2.
const PAUSES: &str = "
    CREATE TABLE pauses (
        kind   TEXT NOT NULL, -- callee or target
        name   TEXT NOT NULL,
        who    TEXT NOT NULL,
        at     INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
";

/// Opens the file for writing and makes what is missing.
pub(super) fn open_writer(file: &Path) -> Result<Connection, String> {
    private(file).map_err(|error| error.to_string())?;
    match try_open_writer(file) {
        Ok((connection, VERSION)) => Ok(connection),
        Ok((_, other)) => Err(format!(
            "it has version {other}, and this program knows {VERSION}"
        )),
        Err(error) => Err(error.to_string()),
    }
}

/// Callers' numbers and bodies lie in it: nobody else's business. SQLite gives its other files the
/// same mode.
fn private(file: &Path) -> std::io::Result<()> {
    File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)?;
    fs::set_permissions(file, Permissions::from_mode(0o600))
}

fn try_open_writer(file: &Path) -> rusqlite::Result<(Connection, i64)> {
    let connection = Connection::open(file)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A log that once grew behind a long read is cut back to 64 MiB.
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    prepare(&connection)?;
    let missing = match version(&connection)? {
        0 => format!("{TABLES} {PAUSES}"),
        1 => PAUSES.to_owned(),
        _ => String::new(),
    };
    if !missing.is_empty() {
        let tables = format!("BEGIN; {missing} PRAGMA user_version = {VERSION}; COMMIT;");
        connection.execute_batch(&tables)?;
    }
    let version = version(&connection)?;
    Ok((connection, version))
}

/// Opens the file, which is there, for reading alone.
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
    // 8 MiB of pages, whatever lies on disk.
    connection.pragma_update(None, "cache_size", -8_192)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Somebody may look in with the shell.
    connection.busy_timeout(Duration::from_secs(5))
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
