//! Retries of callbacks that wait, each taken by one process only.

use async_trait::async_trait;
use bytes::Bytes;
use contract::CallbackStatus;
use sqlx::postgres::PgRow;
use sqlx::{Error, Postgres, QueryBuilder, Row as _, Transaction};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::filter::push_all;
use super::row::{code, status, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::merge::{MAX_HOLD, next_attempt, retry_key};
use crate::model::{Filter, RetryOutcome, WaitingMessage};
use crate::store::RetryStore;

/// Callbacks that wait. As literals, for the partial index.
const WAITING: &str = "status IN (0, 1)";
const _: () = assert!(code(CallbackStatus::Queued) == 0 && code(CallbackStatus::Retrying) == 1);
/// Not taken by a replay, and not about to be cancelled. `octet_length`: as for dead letters.
const WITH_MESSAGE: &str =
    "octet_length(dead_letter) >= 0 AND replay_taken_at IS NULL AND NOT cancel_requested";
pub(super) const COLUMNS: &str =
    "request_id, generation, hold, progress, dead_letter, coalesce(next_attempt_at, 0) AS due";

/// The next hold: due at once, or when it was due in any case. The keys are computed outside.
const NEXT_HOLD: &str = "
UPDATE callbacks SET hold = taken.hold, progress = taken.progress, updated_at = $4, tiebreak = 0,
    next_attempt_at = CASE WHEN $5 AND next_attempt_at > $4 THEN next_attempt_at ELSE $4 END,
    deferred_reason = CASE WHEN $5 THEN deferred_reason END
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS taken (request_id, hold, progress)
WHERE callbacks.request_id = taken.request_id";

const TAKEN: &str = "
INSERT INTO taken_retries (request_id, generation, hold, taken_at)
SELECT taken.request_id, taken.generation, taken.hold, $4
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS taken (request_id, generation, hold)
ON CONFLICT (request_id) DO UPDATE SET
    generation = excluded.generation, hold = excluded.hold, taken_at = excluded.taken_at";

#[async_trait]
impl RetryStore for PostgresJournal {
    async fn take_retries(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<WaitingMessage>> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
            sql.push(COLUMNS).push(" FROM callbacks WHERE ");
            sql.push(WAITING).push(" AND ").push(WITH_MESSAGE);
            sql.push(" AND next_attempt_at > ").push_bind(bigint(now));
            sql.push(" AND hold < ").push_bind(i64::from(MAX_HOLD));
            sql.push(" AND ");
            push_all(&mut sql, filter, now);
            sql.push(" ORDER BY request_id LIMIT ")
                .push_bind(i64::from(limit))
                .push(" FOR UPDATE SKIP LOCKED");
            let rows = sql.build().fetch_all(&mut *transaction).await?;
            let found = rows.iter().map(waiting).collect::<Result<Vec<_>, _>>()?;
            let taken = start(&mut transaction, found, DueTime::Now, now).await?;
            transaction.commit().await?;
            Ok(taken)
        })
        .await
    }

    async fn take_retry(&self, request_id: Uuid, now: u64) -> JournalResult<RetryOutcome> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
            sql.push(COLUMNS)
                .push(", status, (")
                .push(WITH_MESSAGE)
                .push(") IS TRUE AS kept, replay_taken_at IS NOT NULL OR cancel_requested AS busy")
                .push(" FROM callbacks WHERE request_id = ")
                .push_bind(request_id)
                .push(" FOR UPDATE");
            let Some(found) = sql.build().fetch_optional(&mut *transaction).await? else {
                return Ok(RetryOutcome::Unknown);
            };
            let due: i64 = found.try_get("due")?;
            let waits = status(&found)?.is_unfinished() && due > bigint(now);
            let hold: u32 = unsigned(&found, "hold")?;
            if !waits || found.try_get("busy")? || hold >= MAX_HOLD {
                return Ok(RetryOutcome::NotWaiting);
            }
            if !found.try_get::<bool, _>("kept")? {
                return Ok(RetryOutcome::NotKept);
            }
            let found = vec![waiting(&found)?];
            let taken = start(&mut transaction, found, DueTime::Now, now).await?;
            transaction.commit().await?;
            let taken = taken.into_iter().next();
            Ok(taken.map_or(RetryOutcome::NotWaiting, RetryOutcome::Retry))
        })
        .await
    }

    async fn unfinished_retries(
        &self,
        before: u64,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<WaitingMessage>> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let rows = sqlx::query(
                "SELECT request_id, generation, hold FROM taken_retries WHERE taken_at < $1 \
                 ORDER BY taken_at LIMIT $2 FOR UPDATE SKIP LOCKED",
            )
            .bind(bigint(before))
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await?;
            let mut ids: Vec<Uuid> = Vec::new();
            let mut taken: Vec<(Uuid, u32, u32)> = Vec::new();
            for row in &rows {
                let id = row.try_get("request_id")?;
                ids.push(id);
                taken.push((id, unsigned(row, "generation")?, unsigned(row, "hold")?));
            }
            let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
            sql.push(COLUMNS);
            sql.push(" FROM callbacks WHERE request_id = ANY(")
                .push_bind(&ids)
                .push(") AND status IN (0, 1) AND dead_letter IS NOT NULL");
            let rows = sql.build().fetch_all(&mut *transaction).await?;
            let mut unfinished = Vec::new();
            for row in &rows {
                let (waiting, progress) = waiting(row)?;
                let WaitingMessage {
                    request_id,
                    generation,
                    hold,
                    attempt,
                    ..
                } = waiting;
                // A record of it would have moved it on.
                let key = retry_key(generation, hold, attempt, now);
                if taken.contains(&(request_id, generation, hold)) && key.progress == progress {
                    unfinished.push(waiting);
                }
            }
            let again: Vec<Uuid> = unfinished.iter().map(|retry| retry.request_id).collect();
            sqlx::query(
                "DELETE FROM taken_retries WHERE request_id = ANY($1) AND NOT request_id = ANY($2)",
            )
            .bind(ids)
            .bind(&again)
            .execute(&mut *transaction)
            .await?;
            sqlx::query("UPDATE taken_retries SET taken_at = $2 WHERE request_id = ANY($1)")
                .bind(again)
                .bind(bigint(now))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(unfinished)
        })
        .await
    }

    async fn confirm_retries(&self, published: &[(Uuid, u32, u32)]) -> JournalResult<()> {
        let ids: Vec<Uuid> = published.iter().map(|(id, ..)| *id).collect();
        let generations = published.iter().map(|(_, of, _)| i64::from(*of));
        let generations: Vec<i64> = generations.collect();
        let holds: Vec<i64> = published.iter().map(|(.., of)| i64::from(*of)).collect();
        let query = sqlx::query(
            "DELETE FROM taken_retries WHERE (request_id, generation, hold) IN ( \
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]))",
        )
        .bind(ids)
        .bind(generations)
        .bind(holds);
        self.run(query.execute(&self.pool)).await.map(drop)
    }
}

/// The callback as it waits, and its progress.
pub(super) fn waiting(row: &PgRow) -> Result<(WaitingMessage, i64), Error> {
    let progress = row.try_get("progress")?;
    let message: Option<Vec<u8>> = row.try_get("dead_letter")?;
    let waiting = WaitingMessage {
        request_id: row.try_get("request_id")?,
        generation: unsigned(row, "generation")?,
        hold: unsigned(row, "hold")?,
        attempt: next_attempt(progress),
        due_at: unsigned(row, "due")?,
        message: Bytes::from(message.unwrap_or_default()),
    };
    Ok((waiting, progress))
}

/// When the next attempt is due after a callback was taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DueTime {
    /// At once.
    Now,
    /// As before; at once if that is past.
    Kept,
}

/// Moves these rows, which are locked, to their next hold.
pub(super) async fn start(
    transaction: &mut Transaction<'_, Postgres>,
    found: Vec<(WaitingMessage, i64)>,
    due: DueTime,
    now: u64,
) -> Result<Vec<WaitingMessage>, Error> {
    let taken = found.into_iter().map(|(mut waiting, _)| {
        waiting.hold += 1;
        waiting.due_at = match due {
            DueTime::Now => now,
            DueTime::Kept => waiting.due_at.max(now),
        };
        waiting
    });
    let taken: Vec<WaitingMessage> = taken.collect();
    let ids: Vec<Uuid> = taken.iter().map(|retry| retry.request_id).collect();
    let holds: Vec<i64> = taken.iter().map(|retry| i64::from(retry.hold)).collect();
    let generations = taken.iter().map(|retry| i64::from(retry.generation));
    let generations: Vec<i64> = generations.collect();
    let progress = taken.iter().map(|retry| {
        let key = retry_key(retry.generation, retry.hold, retry.attempt, now);
        key.progress
    });
    let progress: Vec<i64> = progress.collect();
    sqlx::query(NEXT_HOLD)
        .bind(&ids)
        .bind(&holds)
        .bind(progress)
        .bind(bigint(now))
        .bind(due == DueTime::Kept)
        .execute(&mut **transaction)
        .await?;
    sqlx::query(TAKEN)
        .bind(ids)
        .bind(generations)
        .bind(holds)
        .bind(bigint(now))
        .execute(&mut **transaction)
        .await?;
    Ok(taken)
}
