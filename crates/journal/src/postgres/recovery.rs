//! Counts for acts on many callbacks, and what a broker without its messages is given back.

use async_trait::async_trait;
use contract::CallbackStatus;
use sqlx::{Postgres, QueryBuilder};

use super::connection::PostgresJournal;
use super::filter::{push_all, push_delayed};
use super::retry::{COLUMNS, DueTime, start, waiting};
use super::row::{code, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::merge::MAX_HOLD;
use crate::model::{BulkCounts, Filter, WaitingMessage};
use crate::store::RecoveryStore;

/// What has not ended, has its message and is in no replay's hands. As literals, for the partial
/// index.
const RECOVERABLE: &str = "status IN (0, 1) AND octet_length(dead_letter) >= 0 \
     AND replay_taken_at IS NULL AND next_attempt_at IS NOT NULL";
const _: () = assert!(
    code(CallbackStatus::Queued) == 0
        && code(CallbackStatus::Retrying) == 1
        && code(CallbackStatus::Unaccounted) == 6
);

#[async_trait]
impl RecoveryStore for PostgresJournal {
    async fn bulk_counts(&self, filter: &Filter, now: u64) -> JournalResult<BulkCounts> {
        self.look(async {
            let mut sql: QueryBuilder<Postgres> = QueryBuilder::new(
                "SELECT count(*) AS matched, \
                 count(*) FILTER (WHERE dead_letter IS NOT NULL AND replay_taken_at IS NULL) \
                 AS with_message, \
                 count(*) FILTER (WHERE status IN (0, 1)) AS unfinished, \
                 count(*) FILTER (WHERE status IN (0, 1, 6) AND NOT cancel_requested) \
                 AS cancellable, count(*) FILTER (WHERE ",
            );
            sql.push(RECOVERABLE);
            sql.push(") AS recoverable, count(*) FILTER (WHERE ");
            sql.push(RECOVERABLE);
            sql.push(" AND NOT cancel_requested AND next_attempt_at > ")
                .push_bind(bigint(now));
            sql.push(") AS retryable, count(*) FILTER (WHERE ");
            sql.push(RECOVERABLE).push(" AND NOT cancel_requested AND ");
            push_delayed(&mut sql, now);
            sql.push(") AS delayed FROM callbacks WHERE ");
            push_all(&mut sql, filter, now);
            let row = sql.build().fetch_one(&self.pool).await?;
            Ok(BulkCounts {
                matched: unsigned(&row, "matched")?,
                with_message: unsigned(&row, "with_message")?,
                unfinished: unsigned(&row, "unfinished")?,
                retryable: unsigned(&row, "retryable")?,
                delayed: unsigned(&row, "delayed")?,
                cancellable: unsigned(&row, "cancellable")?,
                recoverable: unsigned(&row, "recoverable")?,
            })
        })
        .await
    }

    async fn take_recoveries(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<WaitingMessage>> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
            sql.push(COLUMNS).push(" FROM callbacks WHERE ");
            sql.push(RECOVERABLE);
            sql.push(" AND hold < ").push_bind(i64::from(MAX_HOLD));
            sql.push(" AND ");
            push_all(&mut sql, filter, now);
            sql.push(" ORDER BY request_id LIMIT ")
                .push_bind(i64::from(limit))
                .push(" FOR UPDATE SKIP LOCKED");
            let rows = sql.build().fetch_all(&mut *transaction).await?;
            let found = rows.iter().map(waiting).collect::<Result<Vec<_>, _>>()?;
            let taken = start(&mut transaction, found, DueTime::Kept, now).await?;
            transaction.commit().await?;
            Ok(taken)
        })
        .await
    }
}
