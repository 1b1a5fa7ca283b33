//! Retention: removes what is past its retention, in small steps.
//!
//! A day is dropped as a whole if everything in it has ended. A few callbacks that must be kept
//! (they have not ended, or are dead letters) do not pin it: they are moved into a new, small
//! partition of the same day.

use std::collections::BTreeSet;

use async_trait::async_trait;
use contract::duration_ms;
use sqlx::{AssertSqlSafe, Error, PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::audit;
use super::connection::PostgresJournal;
use super::counts;
use super::error::{is_locked, is_undefined_table};
use super::partitions::{self, Day};
use crate::column::{bigint, first_id};
use crate::error::JournalResult;
use crate::model::{
    KEY_TTL_MS, MAX_UNFINISHED_COUNTED, Remembered, Retention, RetentionProgress,
    retention_discards, retention_operation,
};
use crate::store::RetentionStore;

/// Rows in one step.
const STEP: u64 = 1000;
/// Up to this many rows are moved out of a day that is dropped, under a lock. A day with more is
/// kept.
const MAX_MOVED: u64 = 1000;
/// Up to this many rows a partition is counted before it is dropped; for a larger one the server's
/// estimate is enough.
const MAX_COUNTED: i64 = 100_000;
/// All users of the table queue behind the wait for its lock: keep it short.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '200ms'";
/// Callbacks that have not ended, a replay in progress among them.
const UNFINISHED: &str = "status IN (0, 1)";

#[async_trait]
impl RetentionStore for PostgresJournal {
    async fn apply_retention(
        &self,
        retention: Retention,
        now: u64,
    ) -> JournalResult<RetentionProgress> {
        self.run(async {
            let before = |kept| now.saturating_sub(duration_ms(kept));
            create_ahead(&self.pool, now).await?;
            counts::remove_idle(&self.pool).await?;
            let (dead_letters, bodies) =
                discard(&self.pool, before(retention.dead_letters), now).await?;
            let messages = erase_delivered(&self.pool, before(retention.delivered)).await?;
            let audits = delete_audits(&self.pool, before(retention.audits)).await?;
            let rollups = delete_rollups(&self.pool, before(retention.rollups)).await?;
            let idempotency_keys = delete_keys(&self.pool, now).await?;
            let bound = before(retention.callbacks);
            // Late: no later error can lose the number of callbacks removed.
            let (callbacks, more_days) =
                clear_oldest_day(&self.pool, bound, Remembered::at(now)).await?;
            let more =
                more_days || [bodies, messages, audits, rollups, idempotency_keys].contains(&STEP);
            let unfinished = match more {
                true => 0,
                false => count_unfinished(&self.pool, bound)
                    .await
                    .unwrap_or_default(),
            };
            Ok(RetentionProgress {
                callbacks,
                dead_letters,
                audits,
                rollups,
                idempotency_keys,
                more,
                unfinished,
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

/// What a day holds, counted up to a bound.
struct DayContents {
    kept: u64,
    removable: u64,
}

/// What is done about a day past its retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DayAction {
    /// Everything in it has ended.
    Drop,
    /// Its few rows to keep are moved, and the rest is dropped.
    Rewrite,
    /// Its few rows to remove are deleted.
    Delete,
    Keep,
}

impl DayContents {
    async fn of(connection: &PgPool, day: Day, remembered: Remembered) -> Result<Self, Error> {
        let name = day.partition_of("callbacks");
        // Three counts: each can use an index. One that is counted twice is removed later.
        let unfinished = count(connection, &name, UNFINISHED, MAX_MOVED + 1).await?;
        let letters = count(connection, &name, &dead_letter(remembered), MAX_MOVED + 1).await?;
        let cancelled = count(connection, &name, &cancelled(remembered), MAX_MOVED + 1).await?;
        let kept = unfinished + letters + cancelled;
        let removable = match kept {
            0..=MAX_MOVED => count(connection, &name, &removable(remembered), STEP + 1).await?,
            _ => 0, // Not searched among many that are kept.
        };
        Ok(Self { kept, removable })
    }

    fn action(&self) -> DayAction {
        match (self.kept, self.removable) {
            (0, _) => DayAction::Drop,
            (_, 0) => DayAction::Keep,
            (..=MAX_MOVED, ..=STEP) => DayAction::Delete,
            (..=MAX_MOVED, _) => DayAction::Rewrite,
            (_, _) => DayAction::Keep,
        }
    }
}

/// Dead letters that have a body and are not discarded, or were discarded by their age a short time
/// ago.
fn dead_letter(remembered: Remembered) -> String {
    let since = remembered.discarded_since;
    format!(
        "status IN (3, 4) AND (NOT discarded AND dead_letter_since IS NOT NULL \
         OR coalesce(retention_discarded_at, 0) > {since})"
    )
}

fn cancelled(remembered: Remembered) -> String {
    let since = remembered.cancelled_since;
    format!("(cancel_requested_at IS NOT NULL AND cancel_requested_at > {since})")
}

fn kept(remembered: Remembered) -> String {
    let (letter, cancelled) = (dead_letter(remembered), cancelled(remembered));
    format!("({UNFINISHED} OR {letter} OR {cancelled})")
}

fn removable(remembered: Remembered) -> String {
    format!("NOT {}", kept(remembered))
}

async fn count(pool: &PgPool, table: &str, condition: &str, most: u64) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT FROM {table} WHERE {condition} LIMIT {most}) AS counted"
    );
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_one(pool)
        .await?;
    Ok(count.cast_unsigned())
}

/// Removes what can be removed from the oldest day before `bound` that has any. Returns how many
/// callbacks were removed, and whether there may be more.
async fn clear_oldest_day(
    pool: &PgPool,
    bound: u64,
    remembered: Remembered,
) -> Result<(u64, bool), Error> {
    for day in partitions::expired(pool, bound).await? {
        match clear_day(pool, day, remembered).await {
            Ok(None) => {}
            Ok(Some(callbacks)) => return Ok((callbacks, true)),
            // Another process was faster.
            Err(error) if is_undefined_table(&error) => {}
            // A long read is running: try again in another step.
            Err(error) if is_locked(&error) => return Ok((0, true)),
            Err(error) => return Err(error),
        }
    }
    Ok((0, false))
}

/// Removes what can be removed from a day. Returns how many callbacks that were, or `None` if it
/// was left as it is.
async fn clear_day(pool: &PgPool, day: Day, remembered: Remembered) -> Result<Option<u64>, Error> {
    let contents = DayContents::of(pool, day, remembered).await?;
    match contents.action() {
        DayAction::Keep => Ok(None),
        DayAction::Delete => delete_ended(pool, day, remembered).await.map(Some),
        DayAction::Drop | DayAction::Rewrite => {
            let callbacks = size(pool, day).await?.saturating_sub(contents.kept);
            let done = replace_day(pool, day, remembered).await?;
            Ok(done.then_some(callbacks))
        }
    }
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

/// Deletes at most a step of rows of a day that are not kept, with their attempts.
async fn delete_ended(pool: &PgPool, day: Day, remembered: Remembered) -> Result<u64, Error> {
    let (callbacks, attempts) = (day.partition_of("callbacks"), day.partition_of("attempts"));
    let removable = removable(remembered);
    let mut transaction = pool.begin().await?;
    let sql = format!(
        "DELETE FROM {callbacks} WHERE request_id = ANY(ARRAY( \
         SELECT request_id FROM {callbacks} WHERE {removable} LIMIT {STEP} \
         FOR UPDATE SKIP LOCKED)) RETURNING request_id"
    );
    let ids: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    let sql = format!("DELETE FROM {attempts} WHERE request_id = ANY($1)");
    sqlx::query(AssertSqlSafe(sql))
        .persistent(false)
        .bind(&ids)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(u64::try_from(ids.len()).unwrap_or(u64::MAX))
}

/// Drops the two partitions of a day. Rows to keep are copied into new ones first; if there are too
/// many of them by now, nothing is done.
async fn replace_day(pool: &PgPool, day: Day, remembered: Remembered) -> Result<bool, Error> {
    let (callbacks, attempts) = (day.partition_of("callbacks"), day.partition_of("attempts"));
    let kept = kept(remembered);
    let mut transaction = pool.begin().await?;
    partitions::lock(&mut transaction).await?;
    run(&mut transaction, LOCK_TIMEOUT.to_owned()).await?;
    // In the order of all readers and writers: callbacks first.
    let lock = "LOCK TABLE ONLY callbacks, ONLY attempts IN ACCESS EXCLUSIVE MODE".to_owned();
    run(&mut transaction, lock).await?;
    let sql = format!(
        "SELECT request_id FROM {callbacks} WHERE {kept} LIMIT {}",
        MAX_MOVED + 1
    );
    let ids: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(sql))
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    if ids.len() > usize::try_from(MAX_MOVED).unwrap_or(usize::MAX) {
        return Ok(false);
    }
    if ids.is_empty() {
        run(
            &mut transaction,
            format!("DROP TABLE {callbacks}, {attempts}"),
        )
        .await?;
    } else {
        for (table, day) in [("callbacks", &callbacks), ("attempts", &attempts)] {
            let sql = format!(
                "ALTER TABLE {table} DETACH PARTITION {day}; ALTER TABLE {day} RENAME TO {day}_old"
            );
            run(&mut transaction, sql).await?;
        }
        partitions::create_day(&mut transaction, day).await?;
        for day in [&callbacks, &attempts] {
            let sql =
                format!("INSERT INTO {day} SELECT * FROM {day}_old WHERE request_id = ANY($1)");
            sqlx::query(AssertSqlSafe(sql))
                .persistent(false)
                .bind(&ids)
                .execute(&mut *transaction)
                .await?;
        }
        run(
            &mut transaction,
            format!("DROP TABLE {callbacks}_old, {attempts}_old"),
        )
        .await?;
    }
    transaction.commit().await?;
    Ok(true)
}

async fn run(transaction: &mut Transaction<'_, Postgres>, sql: String) -> Result<(), Error> {
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn count_unfinished(pool: &PgPool, bound: u64) -> Result<u64, Error> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT FROM callbacks WHERE {UNFINISHED} AND request_id < $1 \
         LIMIT $2) AS counted"
    );
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(first_id(bound))
        .bind(bigint(MAX_UNFINISHED_COUNTED))
        .fetch_one(pool)
        .await?;
    Ok(count.cast_unsigned())
}

/// Discards dead letters and removes their bodies, and writes that to the audit log. Returns how
/// many were discarded, and how many bodies were removed: an operator may have discarded one.
async fn discard(pool: &PgPool, until: u64, now: u64) -> Result<(u64, u64), Error> {
    let mut transaction = pool.begin().await?;
    let rows = sqlx::query(
        "SELECT request_id, discarded FROM callbacks WHERE dead_letter_since <= $1 \
         AND status <> 2 LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(bigint(until))
    .bind(bigint(STEP))
    .fetch_all(&mut *transaction)
    .await?;
    let (mut ids, mut discarded): (Vec<Uuid>, usize) = (Vec::new(), 0);
    for row in &rows {
        ids.push(row.try_get("request_id")?);
        discarded += usize::from(!row.try_get::<bool, _>("discarded")?);
    }
    if ids.is_empty() {
        return Ok((0, 0));
    }
    let updated = sqlx::query(
        "UPDATE callbacks SET dead_letter = NULL, dead_letter_since = NULL, discarded = true, \
         retention_discarded_at = CASE WHEN discarded THEN retention_discarded_at ELSE $2 END \
         WHERE request_id = ANY($1)",
    )
    .bind(ids)
    .bind(bigint(now))
    .execute(&mut *transaction)
    .await?;
    if discarded > 0 {
        let entry = retention_discards(discarded, now);
        audit::append_part(&mut *transaction, &entry, &retention_operation(now)).await?;
    }
    transaction.commit().await?;
    let discarded = u64::try_from(discarded).unwrap_or(u64::MAX);
    Ok((discarded, updated.rows_affected()))
}

/// Removes messages of delivered callbacks. Returns how many.
async fn erase_delivered(pool: &PgPool, until: u64) -> Result<u64, Error> {
    let erased = sqlx::query(
        "UPDATE callbacks SET dead_letter = NULL, dead_letter_since = NULL \
         WHERE request_id = ANY(ARRAY( \
         SELECT request_id FROM callbacks WHERE dead_letter_since <= $1 AND status = 2 \
         LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind(bigint(until))
    .bind(bigint(STEP))
    .execute(pool)
    .await?;
    Ok(erased.rows_affected())
}

async fn delete_audits(pool: &PgPool, until: u64) -> Result<u64, Error> {
    let deleted = sqlx::query(
        "DELETE FROM audit_log WHERE id = ANY(ARRAY( \
         SELECT id FROM audit_log WHERE occurred_at <= $1 ORDER BY occurred_at \
         LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind(bigint(until))
    .bind(bigint(STEP))
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

async fn delete_rollups(pool: &PgPool, until: u64) -> Result<u64, Error> {
    let deleted = sqlx::query(
        "DELETE FROM rollups WHERE ctid = ANY(ARRAY( \
         SELECT ctid FROM rollups WHERE minute < $1 LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind(bigint(until))
    .bind(bigint(STEP))
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

/// By two clocks, as in [`keys_end_at`](crate::model::keys_end_at).
async fn delete_keys(pool: &PgPool, now: u64) -> Result<u64, Error> {
    let deleted = sqlx::query(
        "DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY( \
         SELECT ctid FROM idempotency_keys WHERE claimed_at <= \
         least($1, (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint)) - $2 \
         LIMIT $3 FOR UPDATE SKIP LOCKED))",
    )
    .bind(bigint(now))
    .bind(bigint(KEY_TTL_MS))
    .bind(bigint(STEP))
    .execute(pool)
    .await?;
    Ok(deleted.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_callbacks_to_keep_do_not_pin_their_day() {
        for (kept, removable, action) in [
            (0, 0, DayAction::Drop),
            (0, STEP + 1, DayAction::Drop),
            (1, 0, DayAction::Keep),
            (1, 1, DayAction::Delete),
            (MAX_MOVED, STEP, DayAction::Delete),
            (1, STEP + 1, DayAction::Rewrite),
            (MAX_MOVED, STEP + 1, DayAction::Rewrite),
            (MAX_MOVED + 1, STEP + 1, DayAction::Keep),
        ] {
            let contents = DayContents { kept, removable };
            assert_eq!(contents.action(), action, "{kept} {removable}");
        }
    }
}
