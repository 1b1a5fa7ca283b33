//! The unfinished callbacks of each app, which the triggers of `schema_4.sql` count.

use async_trait::async_trait;
use rusqlite::{Connection, Row};

use super::connection::SqliteJournal;
use crate::error::JournalResult;
use crate::model::{AppCount, UnfinishedCounts};
use crate::store::CountStore;

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
