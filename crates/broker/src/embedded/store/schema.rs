//! The SQLite file that holds the messages.
//!
//! `queue.db` is in WAL mode with `synchronous=FULL`: a commit returns after the write-ahead log is
//! synced (sqlite.org/pragma.html#pragma_synchronous). The `sqlite3` shell can open it.

use crate::embedded::queue::index::MessageKey;
use crate::message::{BrokerMessage, Queue};
use bytes::Bytes;
use failpoints::sabotage;
use rusqlite::{Connection, OptionalExtension as _, params};
use std::path::Path;

/// The version of the schema. A file of a later version is refused.
const VERSION: i64 = 4;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        number     INTEGER PRIMARY KEY,
        queue      TEXT NOT NULL,
        due        INTEGER NOT NULL, -- Unix ms
        delay      INTEGER, -- ms from the decision to due; unknown in rows of an older version
        deliveries INTEGER NOT NULL DEFAULT 0, -- counted after a restart, or when dropped unsettled
        id         TEXT NOT NULL,
        kind       TEXT NOT NULL,
        headers    TEXT NOT NULL, -- a JSON object, for people
        body       BLOB NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS waiting ON messages (queue, due, number, delay);
    CREATE INDEX IF NOT EXISTS waiting_ids ON messages (id) WHERE queue = 'retry';
    PRAGMA user_version = 4;
";

/// What each version adds to the one before, from version 1 on. All in one transaction.
const UPGRADES: [&str; 3] = [
    // Version 1 called the column `lane`, and the queue of unreadable messages `poison`.
    "ALTER TABLE messages RENAME COLUMN lane TO queue;
     UPDATE messages SET queue = 'unreadable' WHERE queue = 'poison';",
    // Version 2 could not find a message by its id.
    "CREATE INDEX waiting_ids ON messages (id) WHERE queue = 'retry';",
    // Version 3 did not know under which clock a message was delayed.
    "ALTER TABLE messages ADD COLUMN delay INTEGER;
     DROP INDEX waiting;
     CREATE INDEX waiting ON messages (queue, due, number, delay);",
];

/// A long transaction, or a long read by another process, lets the log grow; it is truncated to
/// this length afterwards.
const MAX_LOG_BYTES: i64 = 16 * 1024 * 1024;

/// Refuses the schema of a newer program.
pub(in crate::embedded) fn refuse_newer(version: i64) -> Result<(), String> {
    if version <= VERSION {
        return Ok(());
    }
    Err(format!(
        "it has version {version}, this program needs version {VERSION}: a newer ringback made it; \
         run that version or a newer one"
    ))
}

/// The messages on disk, through the one connection that writes.
pub(in crate::embedded) struct MessageTable(Connection);

/// A body read for delivery.
#[derive(Debug)]
pub(in crate::embedded) struct StoredBody {
    pub(in crate::embedded) body: Bytes,
    /// How often it was delivered after a restart.
    pub(super) deliveries: u32,
    /// It was on disk when the process started.
    pub(in crate::embedded) recovered: bool,
    /// Of an unreadable message: its headers, a JSON object.
    pub(in crate::embedded) headers: Option<String>,
}

impl MessageTable {
    pub(in crate::embedded) fn open(file: &Path) -> Result<Self, String> {
        let table = Self::try_open(file).map_err(|error| error.to_string())?;
        let version = table.version().map_err(|error| error.to_string())?;
        refuse_newer(version)?;
        Ok(table)
    }

    /// Opens the file and upgrades it. One of a later version is not changed.
    fn try_open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        sabotage!(
            "answer-before-sync",
            connection.pragma_update(None, "synchronous", "OFF")?
        );
        connection.pragma_update(None, "journal_size_limit", MAX_LOG_BYTES)?;
        // 8 MiB of pages, however large the file is.
        connection.pragma_update(None, "cache_size", -8_192)?;
        connection.set_prepared_statement_cache_capacity(32);
        let table = Self(connection);
        match table.version()? {
            0 => table.0.execute_batch(SCHEMA)?,
            old @ 1..VERSION => table.0.execute_batch(&upgrade(old))?,
            _ => {}
        }
        Ok(table)
    }

    fn version(&self) -> rusqlite::Result<i64> {
        self.0
            .query_row("PRAGMA user_version", [], |row| row.get(0))
    }

    /// Does all of `work` in one transaction, with one sync.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Self) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.0.execute_batch("BEGIN IMMEDIATE")?;
        match work(self).and_then(|done| self.0.execute_batch("COMMIT").map(|()| done)) {
            Ok(done) => Ok(done),
            Err(error) => {
                // SQLite may have rolled back by itself; then this fails, which does not matter.
                let _ = self.0.execute_batch("ROLLBACK");
                Err(error)
            }
        }
    }

    pub(super) fn insert(
        &self,
        queue: Queue,
        key: MessageKey,
        delay: u64,
        message: &BrokerMessage,
    ) -> rusqlite::Result<()> {
        let headers: serde_json::Map<String, serde_json::Value> = message
            .headers
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.as_str().into()))
            .collect();
        self.0
            .prepare_cached(
                "INSERT INTO messages (number, queue, due, delay, id, kind, headers, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                key.1,
                queue.as_str(),
                i64::try_from(key.0).unwrap_or(i64::MAX),
                i64::try_from(delay).unwrap_or(i64::MAX),
                message.id,
                message.kind,
                serde_json::Value::Object(headers).to_string(),
                &message.body[..],
            ])
            .map(drop)
    }

    /// The path of the file, for people.
    pub(super) fn file(&self) -> &str {
        self.0.path().unwrap_or_default()
    }

    /// Writes a message and deletes it again, to find out whether the disk accepts messages.
    pub(super) fn probe(&self, number: i64) -> rusqlite::Result<()> {
        let message = BrokerMessage {
            id: String::new(),
            kind: "probe",
            headers: Vec::new(),
            body: vec![0; 64 * 1024].into(),
        };
        self.insert(Queue::Unreadable, (0, number), 0, &message)?;
        self.delete(number)
    }

    pub(super) fn delete(&self, number: i64) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("DELETE FROM messages WHERE number = ?1")?
            .execute([number])
            .map(drop)
    }

    /// Counts a delivery, durable with the surrounding transaction.
    pub(super) fn count_delivery(&self, number: i64) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("UPDATE messages SET deliveries = deliveries + 1 WHERE number = ?1")?
            .execute([number])
            .map(drop)
    }

    pub(super) fn move_to(&self, number: i64, queue: Queue) -> rusqlite::Result<()> {
        self.0
            .prepare_cached("UPDATE messages SET queue = ?2 WHERE number = ?1")?
            .execute(params![number, queue.as_str()])
            .map(drop)
    }

    pub(super) fn read(&self, queue: Queue, number: i64) -> rusqlite::Result<Option<StoredBody>> {
        self.0
            .prepare_cached(
                "SELECT body, deliveries, CASE queue WHEN 'unreadable' THEN headers END
                 FROM messages WHERE number = ?1 AND queue = ?2",
            )?
            .query_row(params![number, queue.as_str()], |row| {
                let body: Vec<u8> = row.get(0)?;
                Ok(StoredBody {
                    body: body.into(),
                    deliveries: row.get(1)?,
                    recovered: false,
                    headers: row.get(2)?,
                })
            })
            .optional()
    }

    /// Shortens the wait of messages that were delayed under a clock ahead of the one that shows
    /// `now` (Unix ms): none waits longer from now than its own delay. Returns how many there were.
    pub(super) fn shorten_waits(&self, now: u64) -> rusqlite::Result<usize> {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        // By the index alone, which holds the delays.
        self.0.execute(
            "UPDATE messages SET due = ?1 + delay WHERE number IN
                 (SELECT number FROM messages INDEXED BY waiting
                  WHERE queue = 'retry' AND due > ?1 AND due - delay > ?1)",
            [now],
        )
    }

    /// The keys of the messages in the retry queue with this id and a number below `below`.
    pub(super) fn waiting_with_id(
        &self,
        id: &str,
        below: i64,
    ) -> rusqlite::Result<Vec<MessageKey>> {
        self.0
            .prepare_cached(
                "SELECT due, number FROM messages INDEXED BY waiting_ids
                 WHERE queue = 'retry' AND id = ?1 AND number < ?2",
            )?
            .query_map(params![id, below], |row| {
                let due: i64 = row.get(0)?;
                Ok((u64::try_from(due).unwrap_or_default(), row.get(1)?))
            })?
            .collect()
    }

    /// The bytes of the file that removed messages have left, and new ones take first.
    pub(super) fn reusable_bytes(&self) -> rusqlite::Result<u64> {
        let pages = self.pragma("PRAGMA freelist_count")?;
        Ok(pages.saturating_mul(self.pragma("PRAGMA page_size")?))
    }

    /// The bytes of the file that are in use.
    pub(super) fn stored_bytes(&self) -> rusqlite::Result<u64> {
        let pages = self.pragma("PRAGMA page_count")?;
        let bytes = pages.saturating_mul(self.pragma("PRAGMA page_size")?);
        Ok(bytes.saturating_sub(self.reusable_bytes()?))
    }

    /// A figure of the file.
    fn pragma(&self, name: &str) -> rusqlite::Result<u64> {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        let figure = self.0.prepare_cached(name)?.query_row([], read)?;
        Ok(u64::try_from(figure).unwrap_or_default())
    }

    /// The next keys of a queue after `after`, in order.
    pub(super) fn page(
        &self,
        queue: Queue,
        after: MessageKey,
        limit: usize,
    ) -> rusqlite::Result<Vec<MessageKey>> {
        let (due, number) = (i64::try_from(after.0).unwrap_or(i64::MAX), after.1);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.0
            .prepare_cached(
                "SELECT due, number FROM messages
                 WHERE queue = ?1 AND (due, number) > (?2, ?3)
                 ORDER BY due, number LIMIT ?4",
            )?
            .query_map(params![queue.as_str(), due, number, limit], |row| {
                let due: i64 = row.get(0)?;
                Ok((u64::try_from(due).unwrap_or_default(), row.get(1)?))
            })?
            .collect()
    }

    /// How many messages of a queue come after `after` and are due at `now`.
    pub(super) fn count_due_after(
        &self,
        queue: Queue,
        after: MessageKey,
        now: u64,
    ) -> rusqlite::Result<u32> {
        let (due, number) = (i64::try_from(after.0).unwrap_or(i64::MAX), after.1);
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        self.0
            .prepare_cached(
                "SELECT count(*) FROM messages
                 WHERE queue = ?1 AND (due, number) > (?2, ?3) AND due <= ?4",
            )?
            .query_row(params![queue.as_str(), due, number, now], |row| row.get(0))
    }

    pub(super) fn count(&self, queue: Queue) -> rusqlite::Result<u32> {
        self.0
            .prepare_cached("SELECT count(*) FROM messages WHERE queue = ?1")?
            .query_row([queue.as_str()], |row| row.get(0))
    }

    pub(super) fn last_number(&self) -> rusqlite::Result<i64> {
        self.0
            .query_row("SELECT coalesce(max(number), 0) FROM messages", [], |row| {
                row.get(0)
            })
    }

    /// Moves the write-ahead log into the file, so that the next start is quick.
    pub(super) fn close(self) {
        if let Err(error) = self.0.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
            tracing::warn!(
                %error,
                "the write-ahead log could not be checkpointed; the next start does it"
            );
        }
    }
}

/// The statements that upgrade a file of version `old`.
fn upgrade(old: i64) -> String {
    let done = usize::try_from(old - 1).unwrap_or_default();
    let statements = UPGRADES.iter().skip(done).copied();
    let statements = statements.collect::<Vec<_>>().join("\n");
    format!("BEGIN IMMEDIATE; {statements} PRAGMA user_version = {VERSION}; COMMIT;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_version_2_is_upgraded_and_its_delayed_messages_are_found_by_id() {
        let directory = std::env::temp_dir().join(format!("ringback-v2-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("queue.db");
        let old = Connection::open(&file).unwrap();
        old.execute_batch(
            "CREATE TABLE messages (
                 number INTEGER PRIMARY KEY, queue TEXT NOT NULL, due INTEGER NOT NULL,
                 deliveries INTEGER NOT NULL DEFAULT 0, id TEXT NOT NULL, kind TEXT NOT NULL,
                 headers TEXT NOT NULL, body BLOB NOT NULL
             ) STRICT;
             CREATE INDEX waiting ON messages (queue, due, number);
             INSERT INTO messages VALUES (7, 'first', 1, 0, 'a', 'callback.v2', '{}', x'61');
             INSERT INTO messages VALUES (8, 'retry', 9, 0, 'a', 'callback.v2', '{}', x'62');
             INSERT INTO messages VALUES (9, 'retry', 9, 0, 'b', 'callback.v2', '{}', x'63');
             PRAGMA user_version = 2;",
        )
        .unwrap();
        drop(old);
        for _ in 0..2 {
            let table = MessageTable::open(&file).unwrap();
            assert_eq!(table.read(Queue::First, 7).unwrap().unwrap().body, "a");
            assert_eq!(table.waiting_with_id("a", 99).unwrap(), [(9, 8)]);
            assert_eq!(table.waiting_with_id("a", 8).unwrap(), []);
            // Their delay is unknown.
            assert_eq!(table.shorten_waits(1).unwrap(), 0);
            table.close();
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_of_version_3_is_upgraded_with_its_messages() {
        let directory = std::env::temp_dir().join(format!("ringback-v3-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("queue.db");
        let old = Connection::open(&file).unwrap();
        old.execute_batch(
            "CREATE TABLE messages (
                 number INTEGER PRIMARY KEY, queue TEXT NOT NULL, due INTEGER NOT NULL,
                 deliveries INTEGER NOT NULL DEFAULT 0, id TEXT NOT NULL, kind TEXT NOT NULL,
                 headers TEXT NOT NULL, body BLOB NOT NULL
             ) STRICT;
             CREATE INDEX waiting ON messages (queue, due, number);
             CREATE INDEX waiting_ids ON messages (id) WHERE queue = 'retry';
             INSERT INTO messages VALUES (8, 'retry', 9, 1, 'a', 'callback.v2', '{}', x'62');
             PRAGMA user_version = 3;",
        )
        .unwrap();
        drop(old);
        for _ in 0..2 {
            let table = MessageTable::open(&file).unwrap();
            let stored = table.read(Queue::Retry, 8).unwrap().unwrap();
            assert_eq!((&*stored.body, stored.deliveries), (&b"b"[..], 1));
            assert_eq!(table.page(Queue::Retry, (0, 0), 10).unwrap(), [(9, 8)]);
            table.close();
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_wait_is_at_most_the_messages_own_delay() {
        let directory = std::env::temp_dir().join(format!("ringback-waits-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let table = MessageTable::open(&directory.join("queue.db")).unwrap();
        let message = |id: &str| BrokerMessage {
            id: id.to_owned(),
            kind: "test",
            headers: Vec::new(),
            body: Bytes::new(),
        };
        for (number, queue, due, delay) in [
            (1, Queue::Retry, 90_000, 5_000), // decided at 85 s: the clock was ahead
            (2, Queue::Retry, 13_000, 5_000), // decided at 8 s
            (3, Queue::Retry, 15_000, 5_000), // decided now
            (4, Queue::Retry, 9_000, 5_000),  // due
            (5, Queue::Dead, 90_000, 0),
        ] {
            let message = message(&number.to_string());
            table.insert(queue, (due, number), delay, &message).unwrap();
        }
        assert_eq!(table.shorten_waits(10_000).unwrap(), 1);
        assert_eq!(table.shorten_waits(10_000).unwrap(), 0);
        let waiting = table.page(Queue::Retry, (0, 0), 10).unwrap();
        assert_eq!(waiting, [(9_000, 4), (13_000, 2), (15_000, 1), (15_000, 3)]);
        assert_eq!(table.page(Queue::Dead, (0, 0), 10).unwrap(), [(90_000, 5)]);
        table.close();
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_file_of_version_1_is_upgraded_with_its_messages() {
        let directory = std::env::temp_dir().join(format!("ringback-v1-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("queue.db");
        let old = Connection::open(&file).unwrap();
        old.execute_batch(
            "CREATE TABLE messages (
                 number INTEGER PRIMARY KEY, lane TEXT NOT NULL, due INTEGER NOT NULL,
                 deliveries INTEGER NOT NULL DEFAULT 0, id TEXT NOT NULL, kind TEXT NOT NULL,
                 headers TEXT NOT NULL, body BLOB NOT NULL
             ) STRICT;
             CREATE INDEX waiting ON messages (lane, due, number);
             INSERT INTO messages VALUES (7, 'first', 1, 0, 'a', 'callback.v1', '{}', x'61');
             INSERT INTO messages VALUES (8, 'poison', 1, 0, '', 'unreadable', '{}', x'62');
             PRAGMA user_version = 1;",
        )
        .unwrap();
        drop(old);
        for _ in 0..2 {
            let table = MessageTable::open(&file).unwrap();
            for (queue, number, body) in [(Queue::First, 7, "a"), (Queue::Unreadable, 8, "b")] {
                assert_eq!(table.read(queue, number).unwrap().unwrap().body, body);
                assert_eq!(table.page(queue, (0, 0), 10).unwrap(), [(1, number)]);
            }
            table.close();
        }
        Connection::open(&file)
            .unwrap()
            .pragma_update(None, "user_version", VERSION + 1)
            .unwrap();
        let refusal = MessageTable::open(&file).err().unwrap();
        assert!(
            refusal.starts_with("it has version 5, this program needs version 4: a newer ringback")
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
