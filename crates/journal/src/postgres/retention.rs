//! Retention: removes what is past its retention, in small steps.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use contract::duration_ms;
use sqlx::{AssertSqlSafe, Error, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::error::{is_locked, is_undefined_table};
use super::partitions::{self, Day};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{KEY_TTL_MS, Retention, RetentionProgress};
use crate::store::RetentionStore;

/// Rows in one step.
const STEP: u64 = 1000;
/// Up to this many rows a partition is counted before it is dropped; for a larger one the server's
/// estimate is enough.
const MAX_COUNTED: i64 = 100_000;
/// All users of the table queue behind the wait for its lock: keep it short.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '200ms'";

#[async_trait]
impl RetentionStore for PostgresJournal {
    async fn apply_retention(
        &self,
        retention: Retention,
        now: u64,
    ) -> JournalResult<RetentionProgress> {
        self.run(async {
            create_ahead(&self.pool, now).await?;
            let bodies = delete_bodies(&self.pool, retention.bodies, now).await?;
            let idempotency_keys = delete_keys(&self.pool, now).await?;
            // Last: no later error can lose the number of callbacks dropped.
            let (callbacks, more_days) =
                drop_oldest_day(&self.pool, retention.callbacks, now).await?;
            Ok(RetentionProgress {
                callbacks,
                bodies,
                idempotency_keys,
                more: more_days || bodies == STEP || idempotency_keys == STEP,
            })
        })
        .await
    }
}

/// Creates today's partition and the next two, so that no writer has to.
async fn create_ahead(pool: &PgPool, now: u64) -> Result<(), Error> {
    let today = Day::at(now);
    let ahead = [today, today.next(), today.next().next()];
    partitions::create(pool, &BTreeSet::from(ahead)).await
}

/// Drops the oldest expired day that may be dropped. Returns how many callbacks were dropped, and
/// whether there are more days.
async fn drop_oldest_day(
    pool: &PgPool,
    retention: Duration,
    now: u64,
) -> Result<(u64, bool), Error> {
    let mut dropped = None;
    for day in partitions::expired(pool, retention, now).await? {
        let result = match dropped {
            None => drop_if_ended(pool, day).await,
            Some(callbacks) => match all_ended(pool, day).await {
                Ok(true) => return Ok((callbacks, true)),
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            },
        };
        match result {
            Ok(callbacks) => dropped = dropped.or(callbacks),
            // Another process was faster.
            Err(error) if is_undefined_table(&error) => {}
            // A long read is running: try again in another step.
            Err(error) if is_locked(&error) => return Ok((0, true)),
            Err(error) => return Err(error),
        }
    }
    Ok((dropped.unwrap_or(0), false))
}

/// Drops a day if all its callbacks have ended. Returns how many were dropped with it.
async fn drop_if_ended(pool: &PgPool, day: Day) -> Result<Option<u64>, Error> {
    if !all_ended(pool, day).await? {
        return Ok(None);
    }
    let callbacks = size(pool, day).await?;
    Ok(drop_day(pool, day).await?.then_some(callbacks))
}

/// Whether every callback of a day has ended, and none is being replayed.
async fn all_ended<'a>(
    connection: impl sqlx::Executor<'a, Database = Postgres>,
    day: Day,
) -> Result<bool, Error> {
    let name = day.partition_of("callbacks");
    let sql = format!("SELECT NOT EXISTS (SELECT FROM {name} WHERE status IN (0, 1))");
    sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(connection)
        .await
}

async fn size(pool: &PgPool, day: Day) -> Result<u64, Error> {
    let name = day.partition_of("callbacks");
    let estimate: f32 =
        sqlx::query_scalar("SELECT reltuples FROM pg_class WHERE oid = $1::regclass")
            .bind(&name)
            .fetch_one(pool)
            .await?;
    let sql = format!(
        "SELECT CASE WHEN count(*) < {MAX_COUNTED} THEN count(*) \
         ELSE greatest(count(*), {estimate}::bigint) END \
         FROM (SELECT FROM {name} LIMIT {MAX_COUNTED}) AS counted"
    );
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(pool)
        .await?;
    Ok(count.cast_unsigned())
}

/// Drops the two partitions of a day, unless one of its callbacks waits again.
async fn drop_day(pool: &PgPool, day: Day) -> Result<bool, Error> {
    let (callbacks, attempts) = (day.partition_of("callbacks"), day.partition_of("attempts"));
    let mut transaction = pool.begin().await?;
    partitions::lock(&mut transaction).await?;
    run(&mut transaction, LOCK_TIMEOUT.to_owned()).await?;
    // In the order of all readers and writers: callbacks first.
    let lock = "LOCK TABLE ONLY callbacks, ONLY attempts IN ACCESS EXCLUSIVE MODE".to_owned();
    run(&mut transaction, lock).await?;
    if !all_ended(&mut *transaction, day).await? {
        return Ok(false);
    }
    let drop = format!("DROP TABLE {callbacks}, {attempts}");
    run(&mut transaction, drop).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn run(transaction: &mut Transaction<'_, Postgres>, sql: String) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn delete_bodies(pool: &PgPool, retention: Duration, now: u64) -> Result<u64, Error> {
    let mut transaction = pool.begin().await?;
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT request_id FROM callbacks WHERE dead_letter_since <= $1 \
         LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(bigint(now.saturating_sub(duration_ms(retention))))
    .bind(bigint(STEP))
    .fetch_all(&mut *transaction)
    .await?;
    let deleted = sqlx::query(
        "UPDATE callbacks SET dead_letter = NULL, dead_letter_since = NULL \
         WHERE request_id = ANY($1)",
    )
    .bind(ids)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(deleted.rows_affected())
}

async fn delete_keys(pool: &PgPool, now: u64) -> Result<u64, Error> {
    let deleted = sqlx::query(
        "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY( \
         SELECT ctid FROM idempotency_keys WHERE claimed_at <= $1 \
         LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind(bigint(now.saturating_sub(KEY_TTL_MS)))
    .bind(bigint(STEP))
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}
