//! Replays and discards of dead letters, each taken by one process only.

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
use crate::merge::replay_key;
use crate::model::{Filter, Replay, ReplayOutcome, Replayable};
use crate::store::ReplayStore;

/// Dead letters. As literals, for the partial index.
const DEAD: &str = "status IN (3, 4)";
const NOT_DISCARDED: &str = "NOT discarded";
/// Not discarded, and with the body. Not `IS NOT NULL`: the planner would take that for one more
/// selective condition, expect hardly any rows, and sort all of them.
const REPLAYABLE: &str = "NOT discarded AND octet_length(dead_letter) >= 0";
const _: () = assert!(code(CallbackStatus::Dead) == 3 && code(CallbackStatus::Expired) == 4);

/// A delivered callback whose message is kept.
const DELIVERED: &str = "status = 2";
const _: () = assert!(code(CallbackStatus::Delivered) == 2);

/// Resets the row for the next generation, requests to cancel included. Keeps the body until the
/// replay is confirmed, so that a crash can resume it.
const NEXT_GENERATION: &str = "
UPDATE callbacks SET generation = $2, progress = $3, updated_at = $4, tiebreak = $5, status = $6,
    reason = NULL, deferred_reason = NULL, next_attempt_at = NULL, cancel_requested = false,
    cancel_requested_at = NULL, dead_letter_since = NULL, replay_taken_at = $4, hold = 0
WHERE request_id = ANY($1)";

#[async_trait]
impl ReplayStore for PostgresJournal {
    /// Does not return the body of a callback that a replay has taken.
    async fn dead_letter(&self, request_id: Uuid) -> JournalResult<Option<Bytes>> {
        let query = sqlx::query_scalar(
            "SELECT dead_letter FROM callbacks WHERE request_id = $1 AND status = ANY($2)",
        )
        .bind(request_id)
        .bind([code(CallbackStatus::Dead), code(CallbackStatus::Expired)]);
        let found: Option<Option<Vec<u8>>> = self.run(query.fetch_optional(&self.pool)).await?;
        Ok(found.flatten().map(Bytes::from))
    }

    async fn take_replays(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<Replay>> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let columns = "request_id, generation, dead_letter";
            let mut sql = dead_letters_sql(columns, REPLAYABLE, filter, limit, now);
            let rows = sql.build().fetch_all(&mut *transaction).await?;
            let mut taken = rows.iter().map(replay).collect::<Result<Vec<_>, _>>()?;
            for replay in &mut taken {
                replay.generation = replay.generation.saturating_add(1);
            }
            start(&mut transaction, &taken, now).await?;
            transaction.commit().await?;
            Ok(taken)
        })
        .await
    }

    async fn take_replay(
        &self,
        request_id: Uuid,
        which: Replayable,
        now: u64,
    ) -> JournalResult<ReplayOutcome> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT status, (");
            sql.push(DEAD);
            if which == Replayable::Ended {
                sql.push(" OR ").push(DELIVERED);
            }
            sql.push(") AND ");
            sql.push(REPLAYABLE);
            sql.push(" IS TRUE AS replayable, request_id, generation, dead_letter");
            sql.push(" FROM callbacks WHERE request_id = ")
                .push_bind(request_id);
            sql.push(" FOR UPDATE");
            let Some(found) = sql.build().fetch_optional(&mut *transaction).await? else {
                return Ok(ReplayOutcome::Unknown);
            };
            if !found.try_get::<bool, _>("replayable")? {
                return Ok(match status(&found)? {
                    CallbackStatus::Delivered if which == Replayable::Ended => {
                        ReplayOutcome::NotKept
                    }
                    _ => ReplayOutcome::NotDead,
                });
            }
            let mut replay = replay(&found)?;
            replay.generation = replay.generation.saturating_add(1);
            start(&mut transaction, std::slice::from_ref(&replay), now).await?;
            transaction.commit().await?;
            Ok(ReplayOutcome::Replay(replay))
        })
        .await
    }

    async fn unfinished_replays(
        &self,
        before: u64,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<Replay>> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            let rows = sqlx::query(
                "SELECT request_id, generation, dead_letter FROM callbacks \
                 WHERE replay_taken_at < $1 AND dead_letter IS NOT NULL \
                 ORDER BY replay_taken_at LIMIT $2 FOR UPDATE SKIP LOCKED",
            )
            .bind(bigint(before))
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await?;
            let taken = rows.iter().map(replay).collect::<Result<Vec<_>, _>>()?;
            let ids: Vec<Uuid> = taken.iter().map(|replay| replay.request_id).collect();
            sqlx::query("UPDATE callbacks SET replay_taken_at = $2 WHERE request_id = ANY($1)")
                .bind(ids)
                .bind(bigint(now))
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(taken)
        })
        .await
    }

    /// A callback that has progressed since keeps its state.
    async fn confirm_replays(&self, published: &[(Uuid, u32)]) -> JournalResult<()> {
        self.run(async {
            let ids: Vec<Uuid> = published.iter().map(|(id, _)| *id).collect();
            let mut transaction = self.pool.begin().await?;
            let rows = sqlx::query(
                "SELECT request_id, generation FROM callbacks \
                 WHERE request_id = ANY($1) AND replay_taken_at IS NOT NULL \
                 ORDER BY request_id FOR UPDATE",
            )
            .bind(ids)
            .fetch_all(&mut *transaction)
            .await?;
            let mut confirmed: Vec<Uuid> = Vec::new();
            for row in &rows {
                let taken = (row.try_get("request_id")?, unsigned(row, "generation")?);
                if published.contains(&taken) {
                    confirmed.push(taken.0);
                }
            }
            sqlx::query(
                "UPDATE callbacks SET replay_taken_at = NULL, dead_letter = NULL \
                 WHERE request_id = ANY($1)",
            )
            .bind(confirmed)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await
        })
        .await
    }

    async fn discard(&self, filter: &Filter, limit: u32) -> JournalResult<u64> {
        self.run(async {
            let mut transaction = self.pool.begin().await?;
            // The time matters only to callbacks that are due, and dead letters are not.
            let condition = format!("{NOT_DISCARDED} AND {DEAD}");
            let condition = match wants_delivered(filter) {
                true => &condition,
                false => NOT_DISCARDED,
            };
            let mut sql = dead_letters_sql("request_id", condition, filter, limit, 0);
            let ids: Vec<Uuid> = sql
                .build_query_scalar()
                .fetch_all(&mut *transaction)
                .await?;
            let mut sql = discard_sql(ids);
            let discarded = sql.build().execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(discarded.rows_affected())
        })
        .await
    }

    async fn discard_one(&self, request_id: Uuid) -> JournalResult<bool> {
        let mut sql = discard_sql(vec![request_id]);
        let discarded = self.run(sql.build().execute(&self.pool)).await?;
        Ok(discarded.rows_affected() == 1)
    }
}

/// Oldest first. Rows that another process has locked are skipped: processes share the work.
fn dead_letters_sql(
    columns: &str,
    condition: &str,
    filter: &Filter,
    limit: u32,
    now: u64,
) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(columns)
        .push(" FROM callbacks WHERE ")
        .push(condition);
    if wants_delivered(filter) {
        sql.push(" AND ").push(DELIVERED);
    } else if !implied(filter) {
        sql.push(" AND ").push(DEAD);
    }
    sql.push(" AND ");
    push_all(&mut sql, filter, now);
    sql.push(" ORDER BY request_id LIMIT ");
    sql.push_bind(i64::from(limit));
    sql.push(" FOR UPDATE SKIP LOCKED");
    sql
}

/// Delivered callbacks are replayed only where the filter asks for them alone.
fn wants_delivered(filter: &Filter) -> bool {
    filter.status == Some(CallbackStatus::Delivered)
        || filter.status.is_none() && filter.statuses == [CallbackStatus::Delivered]
}

/// Whether the filter itself selects dead letters alone.
fn implied(filter: &Filter) -> bool {
    // Only dead letters have a reason. Given both conditions, the planner underestimates the rows.
    match filter.status {
        Some(CallbackStatus::Dead | CallbackStatus::Expired) => true,
        Some(_) => false,
        None => filter.reason.is_some(),
    }
}

/// One statement for each generation; they are few.
async fn start(
    transaction: &mut Transaction<'_, Postgres>,
    taken: &[Replay],
    now: u64,
) -> Result<(), Error> {
    let mut generations: Vec<u32> = taken.iter().map(|replay| replay.generation).collect();
    generations.sort_unstable();
    generations.dedup();
    for generation in generations {
        let ids: Vec<Uuid> = taken
            .iter()
            .filter(|replay| replay.generation == generation)
            .map(|replay| replay.request_id)
            .collect();
        let key = replay_key(generation, now);
        sqlx::query(NEXT_GENERATION)
            .bind(ids)
            .bind(key.generation)
            .bind(key.progress)
            .bind(key.updated_at)
            .bind(key.tiebreak)
            .bind(code(CallbackStatus::Queued))
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

fn discard_sql(ids: Vec<Uuid>) -> QueryBuilder<Postgres> {
    let mut sql =
        QueryBuilder::new("UPDATE callbacks SET discarded = true WHERE request_id = ANY(");
    sql.push_bind(ids).push(") AND ").push(DEAD);
    sql.push(" AND ").push(NOT_DISCARDED);
    sql
}

fn replay(row: &PgRow) -> Result<Replay, Error> {
    let body: Vec<u8> = row.try_get("dead_letter")?;
    Ok(Replay {
        request_id: row.try_get("request_id")?,
        generation: unsigned(row, "generation")?,
        dead_letter: Bytes::from(body),
    })
}
