//! A gateway's embedded store, seen from outside its process.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, Row, params};

use crate::cleanup::TempDirectory;
use crate::queue_message::QueueMessage;

/// How long to wait for the process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The data directory of one gateway, removed when dropped. Nothing can be removed from the store
/// while its process runs, so what was taken is remembered here.
#[derive(Debug)]
pub(super) struct Store {
    temp: TempDirectory,
    taken: Mutex<HashSet<i64>>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            temp: TempDirectory::new("store"),
            taken: Mutex::default(),
        }
    }

    /// The data directory; the process creates it.
    pub(super) fn directory(&self) -> PathBuf {
        self.temp.path().join("data")
    }

    /// How many messages are in each queue that is not empty, those in flight included.
    pub(super) fn depths(&self) -> Result<BTreeMap<String, u32>, String> {
        let sql = "SELECT queue, count(*) FROM messages GROUP BY queue";
        let depths = self.look(sql, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(depths.into_iter().collect())
    }

    /// The oldest message of the queue that was not taken before.
    pub(super) fn take(&self, queue: &str) -> Result<Option<QueueMessage>, String> {
        let mut known = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = self.messages()?.into_iter();
        let new = found.find(|(number, of, _)| of == queue && !known.contains(number));
        Ok(new.map(|(number, _, taken)| {
            known.insert(number);
            taken
        }))
    }

    /// All messages with their queue, taken before or not.
    pub(super) fn all(&self) -> Result<Vec<(String, QueueMessage)>, String> {
        let found = self.messages()?.into_iter();
        Ok(found.map(|(_, queue, taken)| (queue, taken)).collect())
    }

    fn messages(&self) -> Result<Vec<(i64, String, QueueMessage)>, String> {
        let sql = "SELECT number, queue, id, headers, body FROM messages ORDER BY number";
        self.look(sql, |row| {
            let headers: String = row.get(3)?;
            let taken = QueueMessage {
                body: row.get::<_, Vec<u8>>(4)?.into(),
                id: row.get(2)?,
                // It is in a file.
                persistent: true,
                headers: serde_json::from_str(&headers).expect("headers, each a text"),
            };
            Ok((row.get(0)?, row.get(1)?, taken))
        })
    }

    fn look<T>(
        &self,
        sql: &str,
        each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, String> {
        let look = || {
            let connection = self.open(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
            let mut rows = connection.prepare(sql)?;
            let found: rusqlite::Result<Vec<T>> = rows.query_map([], each)?.collect();
            found
        };
        look().map_err(|error| error.to_string())
    }

    /// Inserts messages into a queue. The process must not run: it assigns the numbers itself, and
    /// looks for messages that it has not written only when it starts.
    pub(super) fn insert(&self, queue: &str, bodies: &[Vec<u8>]) -> rusqlite::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        for body in bodies {
            connection.execute(
                "INSERT INTO messages (queue, due, id, kind, headers, body)
                 VALUES (?1, ?2, '', 'test', '{}', ?3)",
                params![queue, now, body],
            )?;
        }
        Ok(())
    }

    fn open(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(self.directory().join("queue.db"), flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    }
}
