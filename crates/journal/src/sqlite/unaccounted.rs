//! Callbacks whose end was not recorded.

use async_trait::async_trait;
use contract::CallbackStatus;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::counts::{CountChanges, Counted};
use super::row::id;
use crate::column::{bigint, first_id};
use crate::error::JournalResult;
use crate::model::{EXAMINED_ROWS, OverdueCallback, OverduePage, UnfinishedRow};
use crate::store::UnaccountedStore;

/// A callback is accepted before it is due, so the bound on the due time bounds the ids too.
const UNFINISHED: &str = "
    SELECT request_id, generation, progress, updated_at, tiebreak, callee_no, target,
        next_attempt_at, replay_taken_at IS NOT NULL
    FROM callbacks INDEXED BY callbacks_unfinished
    WHERE status IN ('queued', 'retrying') AND request_id > ?1 AND request_id < ?2
    ORDER BY request_id LIMIT ?3";

const MARK: &str = "
    UPDATE callbacks
    SET unaccounted_from = status, unaccounted_at = ?6, status = 'unaccounted'
    WHERE request_id = ?1 AND status IN ('queued', 'retrying') AND replay_taken_at IS NULL
        AND (generation, progress, updated_at, tiebreak) = (?2, ?3, ?4, ?5)
    RETURNING app_id, next_attempt_at";

#[async_trait]
impl UnaccountedStore for SqliteJournal {
    async fn overdue(&self, due_before: u64, after: Option<Uuid>) -> JournalResult<OverduePage> {
        let after = after.unwrap_or_default();
        let before = first_id(due_before);
        let work = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(UNFINISHED)?;
            let bounds = params![after.as_bytes(), before.as_bytes(), EXAMINED_ROWS];
            let rows: rusqlite::Result<Vec<_>> = statement.query_map(bounds, unfinished)?.collect();
            rows
        };
        let rows = self.lister.run(work).await?;
        Ok(OverduePage::of(rows, due_before))
    }

    async fn mark_unaccounted(
        &self,
        callbacks: &[OverdueCallback],
        now: u64,
    ) -> JournalResult<u64> {
        let callbacks = callbacks.to_vec();
        let work = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(MARK)?;
            let (mut marked, mut counts) = (0, CountChanges::default());
            for OverdueCallback {
                request_id,
                version: [generation, progress, updated_at, tiebreak],
                ..
            } in &callbacks
            {
                let values = params![
                    request_id.as_bytes(),
                    generation,
                    progress,
                    updated_at,
                    tiebreak,
                    bigint(now),
                ];
                let changed = statement
                    .query_row(values, |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))
                    .optional()?;
                if let Some((app_id, next_attempt_at)) = changed {
                    let before = Counted::of(CallbackStatus::Queued, next_attempt_at);
                    counts.add(&app_id, before, Counted::NOT);
                    marked += 1;
                }
            }
            counts.store(conn)?;
            Ok(marked)
        };
        self.writer.run(work).await
    }
}

fn unfinished(row: &Row<'_>) -> rusqlite::Result<UnfinishedRow> {
    let version = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
    let [_, _, updated_at, _] = version;
    let next_attempt_at: Option<i64> = row.get(7)?;
    let due_at = next_attempt_at.unwrap_or(updated_at);
    Ok(UnfinishedRow {
        overdue: OverdueCallback {
            request_id: id(row, 0)?,
            callee_no: row.get(5)?,
            target: row.get(6)?,
            due_at: u64::try_from(due_at).unwrap_or_default(),
            version,
        },
        in_replay: row.get(8)?,
    })
}
