//! Replays and discards of dead letters.
//!
//! Each change runs within the write transaction, so that nothing changes between its reads and its
//! writes.

use async_trait::async_trait;
use bytes::Bytes;
use contract::CallbackStatus;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::counts::{CountChanges, Counted};
use super::filter::{DEAD, FilterSql};
use super::row::{id, status};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::merge::replay_key;
use crate::model::{Filter, Replay, ReplayOutcome, Replayable};
use crate::store::ReplayStore;

/// The maximum number of rows in one step: other writers wait for it.
const MAX_STEP: u32 = 1_000;
/// The maximum bytes of bodies that one step returns, not counting the last one.
const MAX_STEP_BYTES: usize = 16 * 1024 * 1024;

#[async_trait]
impl ReplayStore for SqliteJournal {
    /// Does not return the body of a callback that a replay has taken.
    async fn dead_letter(&self, request_id: Uuid) -> JournalResult<Option<Bytes>> {
        let select = move |conn: &Connection| {
            conn.prepare_cached(
                "SELECT dead_letter FROM callbacks
                 WHERE request_id = ?1 AND status IN ('dead', 'expired')",
            )?
            .query_row([request_id.as_bytes()], |row| row.get(0))
            .optional()
        };
        let found: Option<Option<Vec<u8>>> = self.reader.run(select).await?;
        Ok(found.flatten().map(Bytes::from))
    }

    async fn take_replays(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<Replay>> {
        let filter = filter.clone();
        let work = move |conn: &Connection| {
            let with_body = "AND dead_letter IS NOT NULL";
            let parts = match wants_delivered(&filter) {
                true => FilterSql::delivered(&filter),
                false => FilterSql::dead(&filter),
            };
            let ids = select_ids(conn, parts, with_body, limit.min(MAX_STEP))?;
            let mut replays = Vec::with_capacity(ids.len());
            let mut bytes = 0;
            for request_id in ids {
                let Some(replay) = take(conn, request_id, Replayable::Ended, now)? else {
                    continue;
                };
                bytes += replay.dead_letter.len();
                replays.push(replay);
                if bytes >= MAX_STEP_BYTES {
                    break;
                }
            }
            Ok(replays)
        };
        self.writer.run(work).await
    }

    async fn take_replay(
        &self,
        request_id: Uuid,
        which: Replayable,
        now: u64,
    ) -> JournalResult<ReplayOutcome> {
        let work = move |conn: &Connection| {
            if let Some(replay) = take(conn, request_id, which, now)? {
                return Ok(ReplayOutcome::Replay(replay));
            }
            let known = conn
                .prepare_cached("SELECT status FROM callbacks WHERE request_id = ?1")?
                .query_row([request_id.as_bytes()], |row| status(row, 0))
                .optional()?;
            Ok(match known {
                Some(CallbackStatus::Delivered) if which == Replayable::Ended => {
                    ReplayOutcome::NotKept
                }
                Some(_) => ReplayOutcome::NotDead,
                None => ReplayOutcome::Unknown,
            })
        };
        self.writer.run(work).await
    }

    async fn unfinished_replays(
        &self,
        before: u64,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<Replay>> {
        let work = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(
                "SELECT request_id, generation - 1, dead_letter FROM callbacks
                 WHERE replay_taken_at < ?1 AND dead_letter IS NOT NULL
                 ORDER BY replay_taken_at LIMIT ?2",
            )?;
            let found =
                statement.query_map(params![bigint(before), limit.min(MAX_STEP)], replay)?;
            let replays: Vec<Replay> = found.collect::<rusqlite::Result<_>>()?;
            let mut again = conn.prepare_cached(
                "UPDATE callbacks SET replay_taken_at = ?2 WHERE request_id = ?1",
            )?;
            for replay in &replays {
                again.execute(params![replay.request_id.as_bytes(), bigint(now)])?;
            }
            Ok(replays)
        };
        self.writer.run(work).await
    }

    /// A callback that has progressed since keeps its state.
    async fn confirm_replays(&self, published: &[(Uuid, u32)]) -> JournalResult<()> {
        let published = published.to_vec();
        let work = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(
                "UPDATE callbacks SET replay_taken_at = NULL, dead_letter = NULL
                 WHERE request_id = ?1 AND generation = ?2 AND replay_taken_at IS NOT NULL",
            )?;
            for (request_id, generation) in published {
                statement.execute(params![request_id.as_bytes(), generation])?;
            }
            Ok(())
        };
        self.writer.run(work).await
    }

    async fn discard(&self, filter: &Filter, limit: u32) -> JournalResult<u64> {
        let filter = filter.clone();
        let work = move |conn: &Connection| {
            let ids = select_ids(conn, FilterSql::dead(&filter), "", limit.min(MAX_STEP))?;
            for request_id in &ids {
                discard_one(conn, *request_id)?;
            }
            Ok(u64::try_from(ids.len()).unwrap_or(u64::MAX))
        };
        self.writer.run(work).await
    }

    async fn discard_one(&self, request_id: Uuid) -> JournalResult<bool> {
        self.writer
            .run(move |conn| discard_one(conn, request_id))
            .await
    }
}

/// A dead letter in its next generation.
fn replay(row: &Row<'_>) -> rusqlite::Result<Replay> {
    let generation: u32 = row.get(1)?;
    let dead_letter: Vec<u8> = row.get(2)?;
    Ok(Replay {
        request_id: id(row, 0)?,
        generation: generation.saturating_add(1),
        dead_letter: Bytes::from(dead_letter),
    })
}

/// Resets the row for the next generation, requests to cancel included. Keeps the body until the
/// replay is confirmed, so that a crash can resume it.
fn start(conn: &Connection, replay: &Replay, now: u64) -> rusqlite::Result<()> {
    let key = replay_key(replay.generation, now);
    let mut update = conn.prepare_cached(
        "UPDATE callbacks SET status = 'queued', generation = ?2, progress = ?3,
         updated_at = ?4, tiebreak = ?5, reason = NULL, deferred_reason = NULL,
         next_attempt_at = NULL, cancel_requested = 0, cancel_requested_at = NULL,
         dead_letter_since = NULL, replay_taken_at = ?4, hold = 0 WHERE request_id = ?1
         RETURNING app_id",
    )?;
    let values = params![
        replay.request_id.as_bytes(),
        key.generation,
        key.progress,
        key.updated_at,
        key.tiebreak,
    ];
    let app_id: String = update.query_row(values, |row| row.get(0))?;
    let mut counts = CountChanges::default();
    counts.add(
        &app_id,
        Counted::NOT, // It was dead, or delivered.
        Counted::of(CallbackStatus::Queued, None),
    );
    counts.store(conn)
}

/// Delivered callbacks are replayed only where the filter asks for them alone.
fn wants_delivered(filter: &Filter) -> bool {
    filter.status == Some(CallbackStatus::Delivered)
        || filter.status.is_none() && filter.statuses == [CallbackStatus::Delivered]
}

/// At most `limit` callbacks that match, oldest first.
fn select_ids(
    conn: &Connection,
    parts: Vec<FilterSql>,
    extra_condition: &str,
    limit: u32,
) -> rusqlite::Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for mut part in parts {
        part.values.push(Value::Integer(i64::from(limit)));
        let sql = format!(
            "SELECT request_id FROM {} {extra_condition} ORDER BY request_id LIMIT ?",
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

fn take(
    conn: &Connection,
    request_id: Uuid,
    which: Replayable,
    now: u64,
) -> rusqlite::Result<Option<Replay>> {
    let delivered = match which {
        Replayable::DeadLetters => "",
        Replayable::Ended => " OR status = 'delivered'",
    };
    let sql = format!(
        "SELECT request_id, generation, dead_letter FROM callbacks
         WHERE request_id = ?1 AND ({DEAD}{delivered}) AND dead_letter IS NOT NULL"
    );
    let found = conn
        .prepare_cached(&sql)?
        .query_row([request_id.as_bytes()], replay)
        .optional()?;
    if let Some(replay) = &found {
        start(conn, replay, now)?;
    }
    Ok(found)
}

fn discard_one(conn: &Connection, request_id: Uuid) -> rusqlite::Result<bool> {
    let sql = format!("UPDATE callbacks SET discarded = 1 WHERE request_id = ?1 AND {DEAD}");
    let discarded = conn
        .prepare_cached(&sql)?
        .execute([request_id.as_bytes()])?;
    Ok(discarded > 0)
}
