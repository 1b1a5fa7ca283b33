//! What lies in a gateway's embedded store, seen from outside its process?

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, Row, params};

use crate::nest::Nest;
use crate::taken::Taken;

/// How long to wait for the process that writes.
const BUSY: Duration = Duration::from_secs(10);

/// The data directory of one gateway, gone when dropped. Nothing can be taken out of it while its
/// process runs: what was taken is remembered here instead.
#[derive(Debug)]
pub(super) struct Store {
    nest: Nest,
    taken: Mutex<HashSet<i64>>,
}

impl Store {
    pub(super) fn new() -> Self {
        Self {
            nest: Nest::new("store"),
            taken: Mutex::default(),
        }
    }

    /// The data directory; its process makes it.
    pub(super) fn directory(&self) -> PathBuf {
        self.nest.directory().join("data")
    }

    /// How many messages lie in each lane that is not empty, those in hand among them.
    pub(super) fn depths(&self) -> Result<BTreeMap<String, u32>, String> {
        let sql = "SELECT lane, count(*) FROM messages GROUP BY lane";
        let depths = self.look(sql, |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(depths.into_iter().collect())
    }

    /// The oldest message of the lane that was not taken before.
    pub(super) fn take(&self, lane: &str) -> Result<Option<Taken>, String> {
        let mut known = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = self.messages()?.into_iter();
        let new = found.find(|(number, of, _)| of == lane && !known.contains(number));
        Ok(new.map(|(number, _, taken)| {
            known.insert(number);
            taken
        }))
    }

    /// Everything in it, with its lane, taken before or not.
    pub(super) fn all(&self) -> Result<Vec<(String, Taken)>, String> {
        let found = self.messages()?.into_iter();
        Ok(found.map(|(_, lane, taken)| (lane, taken)).collect())
    }

    fn messages(&self) -> Result<Vec<(i64, String, Taken)>, String> {
        let sql = "SELECT number, lane, id, headers, body FROM messages ORDER BY number";
        self.look(sql, |row| {
            let headers: String = row.get(3)?;
            let taken = Taken {
                body: row.get::<_, Vec<u8>>(4)?.into(),
                id: row.get(2)?,
                // It lies in a file.
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

    /// Lays messages into a lane. The process must not run: it numbers them by itself, and looks
    /// for what it has not written only when it starts.
    pub(super) fn plant(&self, lane: &str, bodies: &[Vec<u8>]) -> rusqlite::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
        let connection = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        for body in bodies {
            connection.execute(
                "INSERT INTO messages (lane, due, id, kind, headers, body)
                 VALUES (?1, ?2, '', 'planted', '{}', ?3)",
                params![lane, now, body],
            )?;
        }
        Ok(())
    }

    fn open(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(self.directory().join("queue.db"), flags)?;
        connection.busy_timeout(BUSY)?;
        Ok(connection)
    }
}
