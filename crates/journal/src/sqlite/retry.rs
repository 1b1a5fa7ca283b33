//! Retries of callbacks that wait.
//!
//! Each change runs within the write transaction, so that nothing changes between its reads and its
//! writes.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::filter::FilterSql;
use super::row::{id, status};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::merge::{MAX_HOLD, next_attempt, retry_key};
use crate::model::{Filter, RetryOutcome, WaitingMessage};
use crate::store::RetryStore;

/// The maximum number of rows in one step: other writers wait for it.
pub(super) const MAX_STEP: u32 = 1_000;
/// The maximum bytes of messages that one step returns, not counting the last one.
pub(super) const MAX_STEP_BYTES: usize = 16 * 1024 * 1024;

#[async_trait]
impl RetryStore for SqliteJournal {
    async fn take_retries(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<WaitingMessage>> {
        let filter = filter.clone();
        let work = move |conn: &Connection| {
            let mut taken = Vec::new();
            let mut bytes = 0;
            for request_id in waiting_ids(conn, &filter, limit.min(MAX_STEP), now)? {
                let RetryOutcome::Retry(retry) = take(conn, request_id, now)? else {
                    continue;
                };
                bytes += retry.message.len();
                taken.push(retry);
                if bytes >= MAX_STEP_BYTES {
                    break;
                }
            }
            Ok(taken)
        };
        self.writer.run(work).await
    }

    async fn take_retry(&self, request_id: Uuid, now: u64) -> JournalResult<RetryOutcome> {
        self.writer
            .run(move |conn| take(conn, request_id, now))
            .await
    }

    async fn unfinished_retries(
        &self,
        before: u64,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<WaitingMessage>> {
        let work = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(
                "SELECT request_id, generation, hold FROM taken_retries WHERE taken_at < ?1
                 ORDER BY taken_at LIMIT ?2",
            )?;
            let found = statement
                .query_map(params![bigint(before), limit.min(MAX_STEP)], |row| {
                    Ok((id(row, 0)?, row.get(1)?, row.get(2)?))
                })?;
            let found: Vec<(Uuid, u32, u32)> = found.collect::<rusqlite::Result<_>>()?;
            let mut unfinished = Vec::new();
            for (request_id, generation, hold) in found {
                match unfinished_retry(conn, request_id, generation, hold)? {
                    Some(retry) => unfinished.push(retry),
                    None => forget(conn, request_id, generation, hold)?,
                }
            }
            let mut again = conn
                .prepare_cached("UPDATE taken_retries SET taken_at = ?2 WHERE request_id = ?1")?;
            for retry in &unfinished {
                again.execute(params![retry.request_id.as_bytes(), bigint(now)])?;
            }
            Ok(unfinished)
        };
        self.writer.run(work).await
    }

    async fn confirm_retries(&self, published: &[(Uuid, u32, u32)]) -> JournalResult<()> {
        let published = published.to_vec();
        let work = move |conn: &Connection| {
            for (request_id, generation, hold) in published {
                forget(conn, request_id, generation, hold)?;
            }
            Ok(())
        };
        self.writer.run(work).await
    }
}

fn forget(conn: &Connection, request_id: Uuid, generation: u32, hold: u32) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "DELETE FROM taken_retries WHERE request_id = ?1 AND generation = ?2 AND hold = ?3",
    )?
    .execute(params![request_id.as_bytes(), generation, hold])
    .map(drop)
}

/// The retry, unless a record has moved its callback on.
fn unfinished_retry(
    conn: &Connection,
    request_id: Uuid,
    generation: u32,
    hold: u32,
) -> rusqlite::Result<Option<WaitingMessage>> {
    let found = conn
        .prepare_cached(
            "SELECT progress, dead_letter, next_attempt_at FROM callbacks WHERE request_id = ?1
             AND generation = ?2 AND hold = ?3 AND status IN ('queued', 'retrying')
             AND dead_letter IS NOT NULL",
        )?
        .query_row(params![request_id.as_bytes(), generation, hold], |row| {
            let due_at: Option<i64> = row.get(2)?;
            let due_at = u64::try_from(due_at.unwrap_or_default()).unwrap_or_default();
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, due_at))
        })
        .optional()?;
    Ok(found.and_then(|(progress, message, due_at)| {
        let attempt = next_attempt(progress);
        let taken = retry_key(generation, hold, attempt, 0).progress == progress;
        taken.then(|| WaitingMessage {
            request_id,
            generation,
            hold,
            attempt,
            due_at,
            message: Bytes::from(message),
        })
    }))
}

/// At most `limit` callbacks that match and can be taken, oldest first.
fn waiting_ids(
    conn: &Connection,
    filter: &Filter,
    limit: u32,
    now: u64,
) -> rusqlite::Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for mut part in FilterSql::waiting(filter, now) {
        part.and("next_attempt_at > ?", Value::Integer(bigint(now)));
        part.values.push(Value::Integer(i64::from(limit)));
        let sql = format!(
            "SELECT request_id FROM {} AND cancel_requested = 0 AND replay_taken_at IS NULL
             AND dead_letter IS NOT NULL ORDER BY request_id LIMIT ?",
            part.sql()
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let found = statement.query_map(params_from_iter(part.values), |row| id(row, 0))?;
        for id in found {
            ids.push(id?);
        }
    }
    ids.sort_unstable();
    ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(ids)
}

/// What is known of a callback before it is taken.
struct Candidate {
    waits: bool,
    generation: u32,
    hold: u32,
    progress: i64,
    message: Option<Vec<u8>>,
}

fn candidate(row: &Row<'_>, now: u64) -> rusqlite::Result<Candidate> {
    let next_attempt_at: Option<i64> = row.get(1)?;
    let busy: bool = row.get(2)?;
    let waits = status(row, 0)?.is_unfinished()
        && next_attempt_at.is_some_and(|at| at > bigint(now))
        && !busy;
    Ok(Candidate {
        waits,
        generation: row.get(3)?,
        hold: row.get(4)?,
        progress: row.get(5)?,
        message: row.get(6)?,
    })
}

fn take(conn: &Connection, request_id: Uuid, now: u64) -> rusqlite::Result<RetryOutcome> {
    let found = conn
        .prepare_cached(
            "SELECT status, next_attempt_at, cancel_requested OR replay_taken_at IS NOT NULL,
             generation, hold, progress, dead_letter FROM callbacks WHERE request_id = ?1",
        )?
        .query_row([request_id.as_bytes()], |row| candidate(row, now))
        .optional()?;
    let Some(found) = found else {
        return Ok(RetryOutcome::Unknown);
    };
    if !found.waits || found.hold >= MAX_HOLD {
        return Ok(RetryOutcome::NotWaiting);
    }
    let Some(message) = found.message else {
        return Ok(RetryOutcome::NotKept);
    };
    let retry = WaitingMessage {
        request_id,
        generation: found.generation,
        hold: found.hold + 1,
        attempt: next_attempt(found.progress),
        due_at: now,
        message: Bytes::from(message),
    };
    start(conn, &retry, now)?;
    Ok(RetryOutcome::Retry(retry))
}

/// Moves the row to its next hold: it still counts as unfinished and waiting.
pub(super) fn start(conn: &Connection, retry: &WaitingMessage, now: u64) -> rusqlite::Result<()> {
    let key = retry_key(retry.generation, retry.hold, retry.attempt, now);
    conn.prepare_cached(
        "UPDATE callbacks SET hold = ?2, progress = ?3, updated_at = ?4, tiebreak = 0,
         deferred_reason = CASE WHEN ?5 > ?4 THEN deferred_reason END, next_attempt_at = ?5
         WHERE request_id = ?1",
    )?
    .execute(params![
        retry.request_id.as_bytes(),
        retry.hold,
        key.progress,
        key.updated_at,
        bigint(retry.due_at),
    ])?;
    conn.prepare_cached(
        "INSERT INTO taken_retries (request_id, generation, hold, taken_at)
         VALUES (?1, ?2, ?3, ?4) ON CONFLICT (request_id) DO UPDATE SET
            generation = excluded.generation, hold = excluded.hold, taken_at = excluded.taken_at",
    )?
    .execute(params![
        retry.request_id.as_bytes(),
        retry.generation,
        retry.hold,
        bigint(now),
    ])
    .map(drop)
}
