//! [`Journal`]: any adapter behind one type.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{JournalError, JournalResult};
use crate::model::{BatchPart, Record};
use crate::postgres::PostgresJournal;
use crate::sqlite::{JournalClock, SqliteJournal};
use crate::store::JournalStore;
use crate::url::JournalUrl;

/// The record of callbacks and attempts. Cheap to clone; its operations are in [`JournalStore`].
#[derive(Clone, Debug)]
pub struct Journal(Arc<dyn JournalStore>);

impl Deref for Journal {
    type Target = dyn JournalStore;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Journal {
    /// A journal in PostgreSQL, at `postgres://user:password@host/database`. Connections are made
    /// when they are needed, so a server that cannot be reached is not an error here.
    ///
    /// # Errors
    /// A sentence when the URL is unusable. It never shows the password.
    pub fn connect(url: &str) -> Result<Self, String> {
        let url = JournalUrl::parse(url)?;
        Ok(Self(Arc::new(PostgresJournal::new(url)?)))
    }

    /// A journal in `journal.db` of a data directory, which the caller has locked.
    ///
    /// # Errors
    /// A sentence naming the file, when it cannot be used.
    pub fn open(directory: &Path) -> Result<Self, String> {
        let clock = JournalClock::wall();
        Ok(Self(Arc::new(SqliteJournal::open(directory, clock)?)))
    }

    /// The same, with a clock that tells the time in Unix ms and that nobody sets. Leases and the
    /// age of idempotency keys follow it.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_with_clock(
        directory: &Path,
        now_ms: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let clock = JournalClock::new(now_ms);
        Ok(Self(Arc::new(SqliteJournal::open(directory, clock)?)))
    }

    /// The file of a journal in a data directory.
    pub fn file_in(directory: &Path) -> PathBuf {
        SqliteJournal::file_in(directory)
    }

    /// Refuses a `journal.db` of another version, without changing it; a missing one is no error.
    ///
    /// # Errors
    /// A sentence naming the file and both versions.
    pub fn check(directory: &Path) -> Result<(), String> {
        SqliteJournal::check(directory)
    }

    /// Stores what can be stored. A record that is refused is logged and left out, so that it does
    /// not stop the others. Returns how many were left out.
    ///
    /// `batches`: how the records were batched, one after the other. If a record is left out, the part of
    /// the stream that its batch is stays missing: its callback may be one that is asked for. Other
    /// batches do not suffer.
    ///
    /// # Errors
    /// When the journal is unavailable or incompatible: try again later, with all records.
    pub async fn record_each(
        &self,
        records: &[Record],
        batches: &[BatchPart],
    ) -> JournalResult<usize> {
        let mut left_out = 0;
        let mut ranges = vec![(records, batches)];
        while let Some((records, batches)) = ranges.pop() {
            match self.record_batches(records, batches).await {
                Ok(()) => continue,
                Err(JournalError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
            let (front, back) = batches.split_at(batches.len() / 2);
            if front.is_empty() {
                let refused = self.record_one_by_one(records).await?;
                if refused == 0 {
                    // Its records are stored, and their deferrals are not counted.
                    let stored: Vec<BatchPart> =
                        batches.iter().map(BatchPart::without_records).collect();
                    self.record_batches(&[], &stored).await?;
                }
                left_out += refused;
            } else {
                let middle = front.iter().map(|batch| batch.records).sum();
                let (first, second) = records.split_at_checked(middle).unwrap_or((records, &[]));
                ranges.extend([(second, back), (first, front)]);
            }
        }
        Ok(left_out)
    }

    /// Stores the records that are not refused. Returns how many are.
    async fn record_one_by_one(&self, records: &[Record]) -> JournalResult<usize> {
        let (mut parts, mut left_out) = (vec![records], 0);
        while let Some(part) = parts.pop() {
            match (self.record(part).await, part) {
                (Ok(()), _) | (Err(JournalError::Refused(_)), []) => {}
                (Err(JournalError::Refused(reason)), [record]) => {
                    let request_id = record.origin.request_id;
                    tracing::error!(%request_id, reason, "record refused and left out");
                    left_out += 1;
                }
                (Err(JournalError::Refused(_)), _) => {
                    let (front, back) = part.split_at(part.len() / 2);
                    parts.extend([back, front]);
                }
                (
                    Err(
                        error @ (JournalError::Unavailable(_)
                        | JournalError::TooSlow(_)
                        | JournalError::Incompatible(_)),
                    ),
                    _,
                ) => return Err(error),
            }
        }
        Ok(left_out)
    }
}
