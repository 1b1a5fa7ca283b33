//! How is a batch of records stored, all or none, without two writers ever locking each other out?

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sqlx::{Error, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::days::{self, Day};
use super::errors::lacks_partition;
use super::row::code;
use crate::precedence::{Row, number, rows};
use crate::record::{Attempt, Record};

/// Of two standings the greater rank wins; of the origin, what is missing is filled. A row that
/// would stay as it is is not touched.
const CALLBACKS: &str = "
INSERT INTO callbacks AS old (
    request_id, generation, weight, at, tie, status, reason, waiting_for, next_attempt_at,
    dead_letter, body_since, app_id, caller_no, callee_no, message_type, callback_url, target,
    accepted_at)
SELECT * FROM unnest(
    $1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::text[],
    $8::text[], $9::bigint[], $10::bytea[], $11::bigint[], $12::text[], $13::text[], $14::text[],
    $15::text[], $16::text[], $17::text[], $18::bigint[])
ON CONFLICT (request_id) DO UPDATE SET
    (generation, weight, at, tie, status, reason, waiting_for, next_attempt_at, dead_letter,
     body_since, replay_taken_at) = (
        SELECT winner.* FROM (VALUES
            (excluded.generation, excluded.weight, excluded.at, excluded.tie, excluded.status,
             excluded.reason, excluded.waiting_for, excluded.next_attempt_at, excluded.dead_letter,
             excluded.body_since, NULL::bigint),
            (old.generation, old.weight, old.at, old.tie, old.status,
             old.reason, old.waiting_for, old.next_attempt_at, old.dead_letter,
             old.body_since, old.replay_taken_at)
        ) AS winner (generation, weight, at, tie, status, reason, waiting_for, next_attempt_at,
                     dead_letter, body_since, replay_taken_at)
        ORDER BY winner.generation DESC, winner.weight DESC, winner.at DESC, winner.tie DESC
        LIMIT 1),
    caller_no = coalesce(old.caller_no, excluded.caller_no),
    callee_no = coalesce(old.callee_no, excluded.callee_no),
    callback_url = coalesce(old.callback_url, excluded.callback_url),
    target = CASE old.target WHEN '' THEN excluded.target ELSE old.target END
WHERE (excluded.generation, excluded.weight, excluded.at, excluded.tie)
        > (old.generation, old.weight, old.at, old.tie)
    OR (old.caller_no IS NULL AND excluded.caller_no IS NOT NULL)
    OR (old.callee_no IS NULL AND excluded.callee_no IS NOT NULL)
    OR (old.callback_url IS NULL AND excluded.callback_url IS NOT NULL)
    OR (old.target = '' AND excluded.target <> '')";

const ATTEMPTS: &str = "
INSERT INTO attempts (
    request_id, generation, number, run, started_at, duration_ms, outcome, http_status, detail)
SELECT * FROM unnest(
    $1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[],
    $8::integer[], $9::text[])
ON CONFLICT DO NOTHING";

/// Stores the batch; where a partition is missing, makes it and tries once more.
pub(super) async fn record(pool: &PgPool, records: &[Record]) -> Result<(), Error> {
    match store(pool, records).await {
        Err(error) if lacks_partition(&error) => {
            let ids = records.iter().map(|record| record.origin.request_id);
            let days: BTreeSet<Day> = ids.map(Day::of).collect();
            days::make(pool, &days).await?;
            store(pool, records).await
        }
        stored => stored,
    }
}

async fn store(pool: &PgPool, records: &[Record]) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    store_callbacks(&mut transaction, &rows(records)).await?;
    store_attempts(&mut transaction, records).await?;
    transaction.commit().await
}

/// In the order of the map, which all writers share: none waits for another in a circle.
async fn store_callbacks(
    transaction: &mut Transaction<'_, Postgres>,
    rows: &BTreeMap<Uuid, Row>,
) -> Result<(), Error> {
    let rows: Vec<&Row> = rows.values().collect();
    sqlx::query(CALLBACKS)
        .bind(column(&rows, |row| row.origin.request_id))
        .bind(column(&rows, |row| row.standing.rank.generation))
        .bind(column(&rows, |row| row.standing.rank.weight))
        .bind(column(&rows, |row| row.standing.rank.at))
        .bind(column(&rows, |row| row.standing.rank.tie))
        .bind(column(&rows, |row| code(row.standing.status)))
        .bind(column(&rows, |row| maybe(&row.standing.reason)))
        .bind(column(&rows, |row| maybe(&row.standing.waiting_for)))
        .bind(column(&rows, |row| row.standing.next_attempt_at))
        .bind(column(&rows, |row| row.standing.dead_letter.as_deref()))
        .bind(column(&rows, |row| {
            let body = row.standing.dead_letter.as_ref();
            body.map(|_| row.standing.rank.at)
        }))
        .bind(column(&rows, |row| clean(&row.origin.app_id)))
        .bind(column(&rows, |row| maybe(&row.origin.caller_no)))
        .bind(column(&rows, |row| maybe(&row.origin.callee_no)))
        .bind(column(&rows, |row| clean(&row.origin.message_type)))
        .bind(column(&rows, |row| maybe(&row.origin.callback_url)))
        .bind(column(&rows, |row| clean(&row.origin.target)))
        .bind(column(&rows, |row| number(row.origin.accepted_at)))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn store_attempts(
    transaction: &mut Transaction<'_, Postgres>,
    records: &[Record],
) -> Result<(), Error> {
    let attempts = records.iter().filter_map(|record| {
        let attempt = record.attempted.as_ref()?;
        Some((record.origin.request_id, attempt))
    });
    let mut attempts: Vec<(Uuid, &Attempt)> = attempts.collect();
    if attempts.is_empty() {
        return Ok(());
    }
    attempts.sort_by_key(|(id, it)| (*id, it.generation, it.number, it.run.cast_signed()));
    sqlx::query(ATTEMPTS)
        .bind(column(&attempts, |(id, _)| *id))
        .bind(column(&attempts, |(_, it)| i64::from(it.generation)))
        .bind(column(&attempts, |(_, it)| i64::from(it.number)))
        .bind(column(&attempts, |(_, it)| it.run.cast_signed()))
        .bind(column(&attempts, |(_, it)| number(it.started_at)))
        .bind(column(&attempts, |(_, it)| number(it.duration_ms)))
        .bind(column(&attempts, |(_, it)| clean(&it.outcome)))
        .bind(column(&attempts, |(_, it)| it.http_status.map(i32::from)))
        .bind(column(&attempts, |(_, it)| maybe(&it.detail)))
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

fn maybe(text: &Option<String>) -> Option<Cow<'_, str>> {
    text.as_deref().map(clean)
}

/// PostgreSQL's text holds no NUL: a record is not lost for that.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
