//! How do messages lie on disk?
//!
//! One SQLite file (`queue.db`) in WAL mode with `synchronous=FULL`: a commit returns after the
//! write-ahead log is synced (sqlite.org/pragma.html#pragma_synchronous). Anybody can open it with
//! the `sqlite3` shell.

use super::index::Key;
use crate::{Lane, Message};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::path::Path;

/// Changes with the tables. A file of a later version is refused.
const VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        number     INTEGER PRIMARY KEY,
        lane       TEXT NOT NULL,
        due        INTEGER NOT NULL, -- Unix ms
        deliveries INTEGER NOT NULL DEFAULT 0, -- handed out after a restart
        id         TEXT NOT NULL,
        kind       TEXT NOT NULL,
        headers    TEXT NOT NULL, -- a JSON object, for people
        body       BLOB NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS waiting ON messages (lane, due, number);
";

/// The table, through the one connection that writes.
pub(super) struct Table(Connection);

/// A body read for handing out.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) body: Bytes,
    /// How often it was handed out after a restart.
    pub(super) deliveries: u32,
    /// It lay on disk when the process began.
    pub(super) recovered: bool,
}

impl Table {
    pub(super) fn open(file: &Path) -> Result<Self, String> {
        let table = Self::try_open(file).map_err(|error| error.to_string())?;
        match table.version() {
            Ok(VERSION) => Ok(table),
            Ok(other) => Err(format!(
                "it has version {other}, and this program knows {VERSION}"
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    fn try_open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // 8 MiB of pages, whatever lies on disk.
        connection.pragma_update(None, "cache_size", -8_192)?;
        connection.set_prepared_statement_cache_capacity(32);
        let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version == 0 {
            connection.execute_batch(TABLES)?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        Ok(Self(connection))
    }

    fn version(&self) -> rusqlite::Result<i64> {
        self.0
            .query_row("PRAGMA user_version", [], |row| row.get(0))
    }

    /// Does all of `work` in one transaction, and one sync.
    pub(super) fn together<T>(
        &mut self,
        work: impl FnOnce(&Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.0.execute_batch("BEGIN IMMEDIATE")?;
        match work(self).and_then(|done| self.0.execute_batch("COMMIT").map(|()| done)) {
            Ok(done) => Ok(done),
            Err(error) => {
                // SQLite may have rolled back by itself; a second time is an error of no matter.
                let _ = self.0.execute_batch("ROLLBACK");
                Err(error)
            }
        }
    }

    pub(super) fn insert(&self, lane: Lane, key: Key, message: &Message) -> rusqlite::Result<()> {
        let headers: serde_json::Map<String, serde_json::Value> = message
            .headers
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_str().into()))
            .collect();
        self.0
            .prepare_cached(
                "INSERT INTO messages (number, lane, due, id, kind, headers, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                key.1,
                lane.as_str(),
                i64::try_from(key.0).unwrap_or(i64::MAX),
                message.id,
                message.kind,
                serde_json::Value::Object(headers).to_string(),
                &message.body[..],
            ])
            .map(drop)
    }

    /// Writes something and takes it away again: whether the disk takes messages.
    pub(super) fn probe(&self, number: i64) -> rusqlite::Result<()> {
        let body = vec![0; 64 * 1024].into();
        let message = Message {
            id: String::new(),
            kind: "probe",
            headers: Vec::new(),
            body,
        };
        self.insert(Lane::Poison, (0, number), &message)?;
        self.delete(number)
    }

    pub(super) fn delete(&self, number: i64) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("DELETE FROM messages WHERE number = ?1")?
            .execute([number])
            .map(drop)
    }

    /// Counts a delivery, durably with the transaction around it.
    pub(super) fn count_delivery(&self, number: i64) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("UPDATE messages SET deliveries = deliveries + 1 WHERE number = ?1")?
            .execute([number])
            .map(drop)
    }

    pub(super) fn move_to(&self, number: i64, lane: Lane) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("UPDATE messages SET lane = ?2 WHERE number = ?1")?
            .execute(params![number, lane.as_str()])
            .map(drop)
    }

    pub(super) fn read(&self, lane: Lane, number: i64) -> rusqlite::Result<Option<Stored>> {
        self.0
            .prepare_cached(
                "SELECT body, deliveries FROM messages WHERE number = ?1 AND lane = ?2",
            )?
            .query_row(params![number, lane.as_str()], |row| {
                let body: Vec<u8> = row.get(0)?;
                Ok(Stored {
                    body: body.into(),
                    deliveries: row.get(1)?,
                    recovered: false,
                })
            })
            .optional()
    }

    /// The next keys of a lane after `after`, in order.
    pub(super) fn page(&self, lane: Lane, after: Key, most: usize) -> rusqlite::Result<Vec<Key>> {
        let (due, number) = (i64::try_from(after.0).unwrap_or(i64::MAX), after.1);
        self.0
            .prepare_cached(
                "SELECT due, number FROM messages
                 WHERE lane = ?1 AND (due, number) > (?2, ?3)
                 ORDER BY due, number LIMIT ?4",
            )?
            .query_map(
                params![
                    lane.as_str(),
                    due,
                    number,
                    i64::try_from(most).unwrap_or(i64::MAX)
                ],
                |row| {
                    let due: i64 = row.get(0)?;
                    Ok((u64::try_from(due).unwrap_or_default(), row.get(1)?))
                },
            )?
            .collect()
    }

    /// How many messages of a lane lie after `after` and are due at `now`.
    pub(super) fn due_after(&self, lane: Lane, after: Key, now: u64) -> rusqlite::Result<u32> {
        let (due, number) = (i64::try_from(after.0).unwrap_or(i64::MAX), after.1);
        self.0
            .prepare_cached(
                "SELECT count(*) FROM messages
                 WHERE lane = ?1 AND (due, number) > (?2, ?3) AND due <= ?4",
            )?
            .query_row(
                params![
                    lane.as_str(),
                    due,
                    number,
                    i64::try_from(now).unwrap_or(i64::MAX)
                ],
                |row| row.get(0),
            )
    }

    pub(super) fn count(&self, lane: Lane) -> rusqlite::Result<u32> {
        self.0
            .prepare_cached("SELECT count(*) FROM messages WHERE lane = ?1")?
            .query_row([lane.as_str()], |row| row.get(0))
    }

    pub(super) fn last_number(&self) -> rusqlite::Result<i64> {
        self.0
            .query_row("SELECT coalesce(max(number), 0) FROM messages", [], |row| {
                row.get(0)
            })
    }

    /// Moves the log into the file, so that the next start is quick.
    pub(super) fn close(self) {
        if let Err(error) = self.0.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(%error, "the queue's log could not be folded in; the next start does it");
        }
    }
}
