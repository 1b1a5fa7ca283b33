//! Writes a batch of records, all or none, without deadlocks between writers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use contract::CallbackStatus;
use failpoints::crash_point;
use sqlx::{Error, PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::error::lacks_partition;
use super::partitions::{self, Day};
use super::rollup;
use super::row::{code, storable};
use super::stream::store_spans;
use crate::column::{END_OF_TIME, bigint};
use crate::error::{JournalError, JournalResult};
use crate::merge::{CallbackRow, rows};
use crate::model::{AttemptRecord, BatchPart, Record, RecordedState};
use crate::rollups::{CountedEnd, RollupChanges, RowChange, deferrals};
use crate::store::RecordStore;

/// The state with the greater merge key wins; missing parts of the origin are filled. A row that
/// would not change is not written.
///
/// The message is kept while the callback waits or is dead, whichever record of its generation brought
/// it (`merge/mod.rs`). Status 2 is delivered, 3 dead, 4 expired, 5 cancelled.
const CALLBACKS: &str = "
WITH written AS (INSERT INTO callbacks AS old (
    request_id, generation, progress, updated_at, tiebreak, status, reason, deferred_reason,
    next_attempt_at, dead_letter, dead_letter_since, app_id, caller_no, callee_no, message_type,
    callback_url, target, accepted_at, hold)
SELECT * FROM unnest(
    $1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::text[],
    $8::text[], $9::bigint[], $10::bytea[], $11::bigint[], $12::text[], $13::text[], $14::text[],
    $15::text[], $16::text[], $17::text[], $18::bigint[], $19::bigint[])
ON CONFLICT (request_id) DO UPDATE SET
    (generation, progress, updated_at, tiebreak, status, reason, deferred_reason, next_attempt_at,
     hold, replay_taken_at, unaccounted_from, unaccounted_at) = (
        SELECT winner.* FROM (VALUES
            (excluded.generation, excluded.progress, excluded.updated_at, excluded.tiebreak,
             excluded.status, excluded.reason, excluded.deferred_reason, excluded.next_attempt_at,
             excluded.hold, NULL::bigint, NULL::smallint, NULL::bigint),
            (old.generation, old.progress, old.updated_at, old.tiebreak,
             old.status, old.reason, old.deferred_reason, old.next_attempt_at,
             old.hold, old.replay_taken_at, old.unaccounted_from, old.unaccounted_at)
        ) AS winner (generation, progress, updated_at, tiebreak, status, reason, deferred_reason,
                     next_attempt_at, hold, replay_taken_at, unaccounted_from, unaccounted_at)
        ORDER BY winner.generation DESC, winner.progress DESC, winner.updated_at DESC,
                 winner.tiebreak DESC
        LIMIT 1),
    dead_letter = CASE
        WHEN (excluded.generation, excluded.progress, excluded.updated_at, excluded.tiebreak)
                > (old.generation, old.progress, old.updated_at, old.tiebreak)
            THEN CASE WHEN excluded.generation = old.generation AND excluded.status NOT IN (2, 5)
                THEN coalesce(excluded.dead_letter, old.dead_letter)
                ELSE excluded.dead_letter END
        WHEN excluded.generation = old.generation AND old.status NOT IN (2, 5) AND NOT old.discarded
            THEN coalesce(old.dead_letter, excluded.dead_letter)
        ELSE old.dead_letter END,
    dead_letter_since = CASE
        WHEN (excluded.generation, excluded.progress, excluded.updated_at, excluded.tiebreak)
                > (old.generation, old.progress, old.updated_at, old.tiebreak)
            THEN CASE WHEN excluded.generation = old.generation AND excluded.status IN (3, 4)
                    AND old.dead_letter IS NOT NULL
                THEN excluded.updated_at
                ELSE excluded.dead_letter_since END
        WHEN excluded.generation = old.generation AND old.status IN (3, 4) AND NOT old.discarded
                AND old.dead_letter IS NULL AND excluded.dead_letter IS NOT NULL
            THEN old.updated_at
        ELSE old.dead_letter_since END,
    caller_no = coalesce(old.caller_no, excluded.caller_no),
    callee_no = coalesce(old.callee_no, excluded.callee_no),
    callback_url = coalesce(old.callback_url, excluded.callback_url),
    target = CASE old.target WHEN '' THEN excluded.target ELSE old.target END,
    replaced = CASE
        WHEN (excluded.generation, excluded.progress, excluded.updated_at, excluded.tiebreak)
                <= (old.generation, old.progress, old.updated_at, old.tiebreak) THEN 0
        WHEN excluded.generation <> old.generation THEN 1
        WHEN old.status = 2 THEN least(old.updated_at, 281474976710656) * 4 + 2
        WHEN old.status IN (3, 4) THEN least(old.updated_at, 281474976710656) * 4 + 3
        ELSE 1 END
WHERE (excluded.generation, excluded.progress, excluded.updated_at, excluded.tiebreak)
        > (old.generation, old.progress, old.updated_at, old.tiebreak)
    OR (old.caller_no IS NULL AND excluded.caller_no IS NOT NULL)
    OR (old.callee_no IS NULL AND excluded.callee_no IS NOT NULL)
    OR (old.callback_url IS NULL AND excluded.callback_url IS NOT NULL)
    OR (old.target = '' AND excluded.target <> '')
    OR (old.dead_letter IS NULL AND excluded.dead_letter IS NOT NULL
        AND excluded.generation = old.generation AND old.status NOT IN (2, 5)
        AND NOT old.discarded)
RETURNING request_id, replaced)
SELECT array_agg(request_id), array_agg(replaced) FROM written";
const _: () = assert!(
    code(CallbackStatus::Delivered) == 2
        && code(CallbackStatus::Dead) == 3
        && code(CallbackStatus::Expired) == 4
        && code(CallbackStatus::Cancelled) == 5
        && END_OF_TIME == 281_474_976_710_656
);

const ATTEMPTS: &str = "
WITH inserted AS (INSERT INTO attempts (
    request_id, generation, number, run, started_at, duration_ms, outcome, http_status, detail,
    cause, answer_type, answer)
SELECT * FROM unnest(
    $1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
    $8::integer[], $9::text[], $10::text[], $11::text[], $12::text[])
ON CONFLICT DO NOTHING
RETURNING request_id, generation, number, run)
SELECT array_agg(request_id), array_agg(generation), array_agg(number), array_agg(run)
FROM inserted";

#[async_trait]
impl RecordStore for PostgresJournal {
    /// Stores the batch. If a partition is missing, creates it and tries again once.
    async fn record_batches(&self, records: &[Record], batches: &[BatchPart]) -> JournalResult<()> {
        // An id of another version has no day, and thus no partition.
        let mut ids = records.iter().map(|record| record.origin.request_id);
        if let Some(other) = ids.find(|id| id.get_version_num() != 7) {
            let sentence = format!("{other} is not a UUID of version 7");
            return Err(JournalError::Refused(sentence));
        }
        if records.is_empty() && batches.is_empty() {
            return Ok(());
        }
        self.run(async {
            match store(&self.pool, records, batches).await {
                Err(error) if lacks_partition(&error) => {
                    let ids = records.iter().map(|record| record.origin.request_id);
                    let days: BTreeSet<Day> = ids.map(Day::of).collect();
                    partitions::create(&self.pool, &days).await?;
                    store(&self.pool, records, batches).await
                }
                stored => stored,
            }
        })
        .await
    }
}

async fn store(pool: &PgPool, records: &[Record], batches: &[BatchPart]) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    let mut rollups = RollupChanges::default();
    let rows = rows(records);
    if !records.is_empty() {
        store_callbacks(&mut transaction, &rows, &mut rollups).await?;
        store_attempts(&mut transaction, records, &mut rollups).await?;
    }
    // The order of locks of all writers: rows, shard, recorders, names. The trigger of the rows takes the
    // shard, but not if none of them counts.
    sqlx::query("SELECT app_counts_shard()")
        .execute(&mut *transaction)
        .await?;
    let is_new = store_spans(&mut transaction, batches).await?;
    rollups.add_deferrals(&rows, &deferrals(records), &is_new);
    rollup::store(&mut transaction, rollups).await?;
    crash_point!("postgres.written");
    transaction.commit().await?;
    crash_point!("postgres.committed");
    Ok(())
}

/// Writes the rows in the order of the map, the same for all writers: no deadlock.
async fn store_callbacks(
    transaction: &mut Transaction<'_, Postgres>,
    by_id: &BTreeMap<Uuid, CallbackRow>,
    rollups: &mut RollupChanges,
) -> Result<(), Error> {
    let rows: Vec<&CallbackRow> = by_id.values().collect();
    let written = sqlx::query(CALLBACKS)
        .bind(column(&rows, |row| row.origin.request_id))
        .bind(column(&rows, |row| row.state.key.generation))
        .bind(column(&rows, |row| row.state.key.progress))
        .bind(column(&rows, |row| row.state.key.updated_at))
        .bind(column(&rows, |row| row.state.key.tiebreak))
        .bind(column(&rows, |row| code(row.state.status)))
        .bind(column(&rows, |row| storable_option(&row.state.reason)))
        .bind(column(&rows, |row| {
            storable_option(&row.state.deferred_reason)
        }))
        .bind(column(&rows, |row| row.state.next_attempt_at))
        .bind(column(&rows, |row| row.message.as_deref()))
        .bind(column(&rows, |row| row.kept_since()))
        .bind(column(&rows, |row| storable(&row.origin.app_id)))
        .bind(column(&rows, |row| storable_option(&row.origin.caller_no)))
        .bind(column(&rows, |row| storable_option(&row.origin.callee_no)))
        .bind(column(&rows, |row| storable(&row.origin.message_type)))
        .bind(column(&rows, |row| {
            storable_option(&row.origin.callback_url)
        }))
        .bind(column(&rows, |row| storable(&row.origin.target)))
        .bind(column(&rows, |row| bigint(row.origin.accepted_at)))
        .bind(column(&rows, |row| i64::from(row.state.hold)))
        .fetch_one(&mut **transaction)
        .await?;
    // Arrays, which are read in a fraction of the time of as many rows. NULL: nothing was written.
    let ids: Option<Vec<Uuid>> = written.try_get(0)?;
    let replaced: Option<Vec<Option<i64>>> = written.try_get(1)?;
    let written = ids.unwrap_or_default().into_iter();
    for (id, replaced) in written.zip(replaced.unwrap_or_default()) {
        if let Some(row) = by_id.get(&id) {
            rollups.add_row(row, row_change(replaced));
        }
    }
    Ok(())
}

/// What the column `replaced` says (`schema_7.sql`).
const fn row_change(replaced: Option<i64>) -> RowChange {
    let Some(replaced) = replaced else {
        return RowChange::Inserted;
    };
    let at = replaced >> 2;
    match replaced & 3 {
        0 => RowChange::Kept,
        2 => RowChange::Moved(Some(CountedEnd {
            delivered: true,
            at,
        })),
        3 => RowChange::Moved(Some(CountedEnd {
            delivered: false,
            at,
        })),
        _ => RowChange::Moved(None),
    }
}

/// What identifies an attempt, and the order in which all writers write them.
type AttemptKey = (Uuid, i64, i64, i64);

async fn store_attempts(
    transaction: &mut Transaction<'_, Postgres>,
    records: &[Record],
    rollups: &mut RollupChanges,
) -> Result<(), Error> {
    let attempts = records.iter().filter_map(|record| {
        let attempt = record.attempted.as_ref()?;
        let key: AttemptKey = (
            record.origin.request_id,
            attempt.generation.into(),
            attempt.number.into(),
            attempt.run.cast_signed(),
        );
        Some((key, (record, attempt)))
    });
    let by_key: BTreeMap<AttemptKey, (&Record, &AttemptRecord)> = attempts.collect();
    if by_key.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = by_key.keys().map(|(id, ..)| *id).collect();
    let attempts: Vec<&AttemptRecord> = by_key.values().map(|(_, attempt)| *attempt).collect();
    let inserted = sqlx::query(ATTEMPTS)
        .bind(ids)
        .bind(column(&attempts, |call| i64::from(call.generation)))
        .bind(column(&attempts, |call| i64::from(call.number)))
        .bind(column(&attempts, |call| call.run.cast_signed()))
        .bind(column(&attempts, |call| bigint(call.started_at)))
        .bind(column(&attempts, |call| bigint(call.duration_ms)))
        .bind(column(&attempts, |call| storable(&call.outcome)))
        .bind(column(&attempts, |call| call.http_status.map(i32::from)))
        .bind(column(&attempts, |call| storable_option(&call.detail)))
        .bind(column(&attempts, |call| storable_option(&call.cause)))
        .bind(column(&attempts, |call| {
            let answer = call.answer.as_ref()?;
            answer.content_type.as_deref().map(storable)
        }))
        .bind(column(&attempts, |call| {
            call.answer.as_ref().map(|answer| storable(&answer.text))
        }))
        .fetch_one(&mut **transaction)
        .await?;
    let ids: Option<Vec<Uuid>> = inserted.try_get(0)?;
    let numbers = |index: usize| -> Result<Vec<i64>, Error> {
        let numbers: Option<Vec<i64>> = inserted.try_get(index)?;
        Ok(numbers.unwrap_or_default())
    };
    let (generations, attempts, runs) = (numbers(1)?, numbers(2)?, numbers(3)?);
    let keys = ids.unwrap_or_default().into_iter().zip(generations);
    let keys = keys.zip(attempts.into_iter().zip(runs));
    for ((id, generation), (number, run)) in keys {
        if let Some((record, attempt)) = by_key.get(&(id, generation, number, run)) {
            let delivered = record.state == RecordedState::Delivered;
            rollups.add_attempt(&record.origin, attempt, delivered);
        }
    }
    Ok(())
}

fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

fn storable_option(text: &Option<String>) -> Option<Cow<'_, str>> {
    text.as_deref().map(storable)
}
