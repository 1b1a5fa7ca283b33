//! The unfinished callbacks of each app: counted by transition, in the transaction of each change.
//!
//! Every statement that changes `status` or `next_attempt_at` of a row adds to [`CountChanges`].
//! Triggers would do the same, but each statement would then need a journal of its own, which made
//! the writer about twice as dear.

use std::collections::BTreeMap;

use async_trait::async_trait;
use contract::CallbackStatus;
use rusqlite::{Connection, Row, params};

use super::connection::SqliteJournal;
use crate::error::JournalResult;
use crate::model::{AppCount, UnfinishedCounts};
use crate::store::CountStore;

/// How a row counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    unfinished: bool,
    waiting: bool,
}

impl Counted {
    /// A row that has ended, or none.
    pub(super) const NOT: Self = Self {
        unfinished: false,
        waiting: false,
    };

    /// A row in this state; waiting, if the time of its next attempt is recorded.
    pub(super) fn of(status: CallbackStatus, next_attempt_at: Option<i64>) -> Self {
        let unfinished = status.is_unfinished();
        Self {
            unfinished,
            waiting: unfinished && next_attempt_at.is_some(),
        }
    }
}

/// What a piece of work changes in the counts.
#[derive(Debug, Default)]
pub(super) struct CountChanges(BTreeMap<String, (i64, i64)>);

impl CountChanges {
    /// A row of this app has changed.
    pub(super) fn add(&mut self, app_id: &str, before: Counted, after: Counted) {
        if before == after {
            return;
        }
        let change = |before: bool, after: bool| i64::from(after) - i64::from(before);
        let unfinished = change(before.unfinished, after.unfinished);
        let waiting = change(before.waiting, after.waiting);
        if let Some(changes) = self.0.get_mut(app_id) {
            *changes = (changes.0 + unfinished, changes.1 + waiting);
        } else {
            self.0.insert(app_id.to_owned(), (unfinished, waiting));
        }
    }

    /// Stores the changes. Within the transaction of the rows.
    pub(super) fn store(&self, conn: &Connection) -> rusqlite::Result<()> {
        for (app_id, (unfinished, waiting)) in &self.0 {
            if (*unfinished, *waiting) == (0, 0) {
                continue;
            }
            // One writer, so one shard.
            conn.prepare_cached(
                "INSERT INTO app_counts (app_id, shard, unfinished, waiting) VALUES (?1, 0, ?2, ?3)
                 ON CONFLICT (app_id, shard) DO UPDATE SET
                    unfinished = unfinished + excluded.unfinished,
                    waiting = waiting + excluded.waiting",
            )?
            .execute(params![app_id, unfinished, waiting])?;
        }
        Ok(())
    }
}

#[async_trait]
impl CountStore for SqliteJournal {
    async fn unfinished(&self, limit: u32) -> JournalResult<UnfinishedCounts> {
        let select = move |conn: &Connection| {
            // Within one statement, so that all figures are of the same time.
            let mut statement = conn.prepare_cached(
                "SELECT app_id, unfinished, waiting, sum(unfinished) OVER (), sum(waiting) OVER ()
                 FROM app_counts WHERE unfinished > 0 ORDER BY unfinished DESC, app_id LIMIT ?1",
            )?;
            let mut counts = UnfinishedCounts::default();
            // One row at least, for the totals.
            let mut rows = statement.query([limit.max(1)])?;
            while let Some(row) = rows.next()? {
                counts.total = count(row, 3)?;
                counts.waiting = count(row, 4)?;
                counts.apps.push(AppCount {
                    app_id: row.get(0)?,
                    unfinished: count(row, 1)?,
                    waiting: count(row, 2)?,
                });
            }
            counts
                .apps
                .truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Ok(counts)
        };
        self.reader.run(select).await
    }
}

/// Removes the rows of apps that have nothing unfinished.
pub(super) fn remove_idle(conn: &Connection) -> rusqlite::Result<()> {
    let mut statement =
        conn.prepare_cached("DELETE FROM app_counts WHERE unfinished = 0 AND waiting = 0")?;
    statement.execute([]).map(drop)
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let count: i64 = row.get(column)?;
    Ok(u64::try_from(count).unwrap_or(0))
}
