//! How does what is past its retention go, without anybody waiting for it?

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Error, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::claims;
use super::days::{self, Day};
use super::errors::{is_gone, is_locked};
use crate::journal::{Retained, Retention};
use crate::precedence::number;

/// Rows in one step.
const STEP: u64 = 1000;
/// Up to so many rows a partition is counted before it goes; of a larger one the server's estimate
/// will do.
const COUNTED: i64 = 100_000;
/// Everybody who comes to the table waits behind us while we wait for its lock: not long, then.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '200ms'";

pub(super) async fn step(pool: &PgPool, retention: Retention, now: u64) -> Result<Retained, Error> {
    make_ahead(pool, now).await?;
    let bodies = strip_bodies(pool, retention.bodies, now).await?;
    let claims = forget_claims(pool, now).await?;
    // Last: no later error can make us forget how many callbacks went.
    let (callbacks, more_days) = drop_a_day(pool, retention.callbacks, now).await?;
    Ok(Retained {
        callbacks,
        bodies,
        claims,
        more: more_days || bodies == STEP || claims == STEP,
    })
}

/// Today's partition and two more, so that no writer has to make one.
async fn make_ahead(pool: &PgPool, now: u64) -> Result<(), Error> {
    let today = Day::at(now);
    let ahead = [today, today.next(), today.next().next()];
    days::make(pool, &BTreeSet::from(ahead)).await
}

/// The oldest day that may go; how many callbacks went, and whether there are more.
async fn drop_a_day(pool: &PgPool, retention: Duration, now: u64) -> Result<(u64, bool), Error> {
    let mut callbacks = None;
    for day in days::past(pool, retention, now).await? {
        let gone = match callbacks {
            None => drop_if_ended(pool, day).await,
            Some(callbacks) => match all_ended(pool, day).await {
                Ok(true) => return Ok((callbacks, true)),
                Ok(false) => Ok(None),
                Err(error) => Err(error),
            },
        };
        match gone {
            Ok(count) => callbacks = callbacks.or(count),
            // Another process was quicker.
            Err(error) if is_gone(&error) => {}
            // Somebody reads for long: another step will find the moment.
            Err(error) if is_locked(&error) => return Ok((0, true)),
            Err(error) => return Err(error),
        }
    }
    Ok((callbacks.unwrap_or(0), false))
}

/// How many callbacks went with their day, if it could go.
async fn drop_if_ended(pool: &PgPool, day: Day) -> Result<Option<u64>, Error> {
    if !all_ended(pool, day).await? {
        return Ok(None);
    }
    let count = size(pool, day).await?;
    Ok(drop_one(pool, day).await?.then_some(count))
}

/// Whether every callback of a day has come to its end, and no replay of one is on its way.
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
        "SELECT CASE WHEN count(*) < {COUNTED} THEN count(*) \
         ELSE greatest(count(*), {estimate}::bigint) END \
         FROM (SELECT FROM {name} LIMIT {COUNTED}) AS counted"
    );
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(pool)
        .await?;
    Ok(count.cast_unsigned())
}

/// Drops the two partitions of a day, unless one of its callbacks has come back to life.
async fn drop_one(pool: &PgPool, day: Day) -> Result<bool, Error> {
    let (callbacks, attempts) = (day.partition_of("callbacks"), day.partition_of("attempts"));
    let mut transaction = pool.begin().await?;
    days::lock(&mut transaction).await?;
    run(&mut transaction, LOCK_TIMEOUT.to_owned()).await?;
    // In the order of all who write and read: callbacks first.
    let lock = "LOCK TABLE ONLY callbacks, ONLY attempts IN ACCESS EXCLUSIVE MODE".to_owned();
    run(&mut transaction, lock).await?;
    if !all_ended(&mut *transaction, day).await? {
        return Ok(false);
    }
    run(
        &mut transaction,
        format!("DROP TABLE {callbacks}, {attempts}"),
    )
    .await?;
    transaction.commit().await?;
    Ok(true)
}

async fn run(transaction: &mut Transaction<'_, Postgres>, sql: String) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn strip_bodies(pool: &PgPool, retention: Duration, now: u64) -> Result<u64, Error> {
    let kept_ms = u64::try_from(retention.as_millis()).unwrap_or(u64::MAX);
    let mut transaction = pool.begin().await?;
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT request_id FROM callbacks WHERE body_since <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(number(now.saturating_sub(kept_ms)))
    .bind(number(STEP))
    .fetch_all(&mut *transaction)
    .await?;
    let stripped = sqlx::query(
        "UPDATE callbacks SET dead_letter = NULL, body_since = NULL WHERE request_id = ANY($1)",
    )
    .bind(ids)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(stripped.rows_affected())
}

async fn forget_claims(pool: &PgPool, now: u64) -> Result<u64, Error> {
    let gone = sqlx::query(
        "DELETE FROM claims WHERE ctid = ANY(ARRAY( \
             SELECT ctid FROM claims WHERE claimed_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind(number(now.saturating_sub(claims::KEPT_MS)))
    .bind(number(STEP))
    .execute(pool)
    .await?;
    Ok(gone.rows_affected())
}
