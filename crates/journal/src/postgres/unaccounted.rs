//! Callbacks whose end was not recorded.

use std::collections::HashMap;

use async_trait::async_trait;
use contract::CallbackStatus;
use sqlx::postgres::PgRow;
use sqlx::{Error, Row as _};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::row::code;
use crate::column::{bigint, first_id};
use crate::error::JournalResult;
use crate::model::{EXAMINED_ROWS, OverdueCallback, OverduePage, RowVersion, UnfinishedRow};
use crate::store::UnaccountedStore;

/// One index scan for each status, as for pages of callbacks. A callback is accepted before it is
/// due, so the bound on the due time bounds the ids too.
const UNFINISHED: &str = "
(SELECT request_id, generation, progress, updated_at, tiebreak, callee_no, target, next_attempt_at,
    replay_taken_at IS NOT NULL AS in_replay FROM callbacks
 WHERE status = 0 AND request_id > $1 AND request_id < $2 ORDER BY request_id LIMIT $3)
UNION ALL
(SELECT request_id, generation, progress, updated_at, tiebreak, callee_no, target, next_attempt_at,
    replay_taken_at IS NOT NULL AS in_replay FROM callbacks
 WHERE status = 1 AND request_id > $1 AND request_id < $2 ORDER BY request_id LIMIT $3)
ORDER BY request_id LIMIT $3";
const _: () = assert!(code(CallbackStatus::Queued) == 0 && code(CallbackStatus::Retrying) == 1);

/// Locks the rows in the order of all writers. One that a writer holds is about to change.
const LOCK: &str = "
SELECT request_id, generation, progress, updated_at, tiebreak FROM callbacks
WHERE request_id = ANY($1) AND status IN (0, 1) AND replay_taken_at IS NULL
ORDER BY request_id FOR UPDATE SKIP LOCKED";

const MARK: &str = "
UPDATE callbacks SET unaccounted_from = status, unaccounted_at = $2, status = $3
WHERE request_id = ANY($1)";

#[async_trait]
impl UnaccountedStore for PostgresJournal {
    async fn overdue(&self, due_before: u64, after: Option<Uuid>) -> JournalResult<OverduePage> {
        let after = after.unwrap_or_default();
        let query = sqlx::query(UNFINISHED)
            .bind(after)
            .bind(first_id(due_before))
            .bind(i64::from(EXAMINED_ROWS))
            .try_map(|row: PgRow| unfinished(&row));
        let rows = self.run(query.fetch_all(&self.pool)).await?;
        Ok(OverduePage::of(rows, due_before))
    }

    async fn mark_unaccounted(
        &self,
        callbacks: &[OverdueCallback],
        now: u64,
    ) -> JournalResult<u64> {
        let read = callbacks.iter().map(|row| (row.request_id, row.version));
        let read: HashMap<Uuid, RowVersion> = read.collect();
        let ids: Vec<Uuid> = read.keys().copied().collect();
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let rows = sqlx::query(LOCK)
                .bind(ids)
                .fetch_all(&mut *transaction)
                .await?;
            let mut unchanged: Vec<Uuid> = Vec::new();
            for row in &rows {
                let id = row.try_get("request_id")?;
                if read.get(&id) == Some(&version(row)?) {
                    unchanged.push(id);
                }
            }
            let marked = sqlx::query(MARK)
                .bind(unchanged)
                .bind(bigint(now))
                .bind(code(CallbackStatus::Unaccounted))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(marked.rows_affected())
        })
        .await
    }
}

fn unfinished(row: &PgRow) -> Result<UnfinishedRow, Error> {
    let version = version(row)?;
    let [_, _, updated_at, _] = version;
    let next_attempt_at: Option<i64> = row.try_get("next_attempt_at")?;
    let due_at = next_attempt_at.unwrap_or(updated_at);
    Ok(UnfinishedRow {
        overdue: OverdueCallback {
            request_id: row.try_get("request_id")?,
            callee_no: row.try_get("callee_no")?,
            target: row.try_get("target")?,
            due_at: u64::try_from(due_at).unwrap_or_default(),
            version,
        },
        in_replay: row.try_get("in_replay")?,
    })
}

fn version(row: &PgRow) -> Result<RowVersion, Error> {
    Ok([
        row.try_get("generation")?,
        row.try_get("progress")?,
        row.try_get("updated_at")?,
        row.try_get("tiebreak")?,
    ])
}
