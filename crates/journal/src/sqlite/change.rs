//! How is a callback withdrawn, brought back, or put out of sight?
//!
//! Each function runs within the one writing transaction, so that nothing comes between what it
//! reads and what it writes.

use std::time::Duration;

use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use uuid::Uuid;

use crate::callback::Status;
use crate::fate::Cancelled;
use crate::precedence::{self, CANCELLED, number};
use crate::query::Filter;
use crate::replay::{Mended, Replay};

use super::filter::{Condition, DEAD};
use super::read::{id, status};

/// A step touches no more, whatever is asked for: others wait meanwhile.
const MOST_AT_ONCE: u32 = 1_000;
/// Bytes of bodies that one step brings, the last one aside.
const MOST_BYTES: usize = 16 * 1024 * 1024;

pub(super) fn cancel(
    connection: &Connection,
    request_id: Uuid,
    app_id: Option<&str>,
    now: u64,
    margin: Duration,
) -> rusqlite::Result<Cancelled> {
    let found = connection
        .prepare_cached(
            "SELECT status, next_attempt_at FROM callbacks
             WHERE request_id = ?1 AND app_id = coalesce(?2, app_id)",
        )?
        .query_row(params![request_id.as_bytes(), app_id], |row| {
            Ok((status(row, 0)?, row.get(1)?))
        })
        .optional()?;
    let Some((status, next_attempt_at)) = found else {
        return Ok(Cancelled::Unknown);
    };
    let margin = u64::try_from(margin.as_millis()).unwrap_or(u64::MAX);
    let told = outlook(status, next_attempt_at, number(now.saturating_add(margin)));
    let now = number(now);
    match told {
        Cancelled::Certainly if status != Status::Cancelled => connection
            .prepare_cached(
                "UPDATE callbacks SET status = 'cancelled', weight = ?2, at = ?3, tie = 0,
                 reason = NULL, waiting_for = NULL, next_attempt_at = NULL, cancelled_at = ?3,
                 replay_taken_at = NULL, dead_letter = NULL WHERE request_id = ?1",
            )?
            .execute(params![request_id.as_bytes(), CANCELLED, now])?,
        Cancelled::Perhaps => connection
            .prepare_cached(
                "UPDATE callbacks SET cancel_requested = 1, cancelled_at = ?2
                 WHERE request_id = ?1",
            )?
            .execute(params![request_id.as_bytes(), now])?,
        Cancelled::Certainly | Cancelled::Ended(_) | Cancelled::Unknown => 0,
    };
    Ok(told)
}

/// What can be promised of a callback; `near` is the moment (Unix ms) up to which an attempt may be
/// under way already.
fn outlook(status: Status, next_attempt_at: Option<i64>, near: i64) -> Cancelled {
    match status {
        Status::Cancelled => Cancelled::Certainly,
        ended if ended.is_final() => Cancelled::Ended(ended),
        _ if next_attempt_at.is_some_and(|next| next > near) => Cancelled::Certainly,
        _ => Cancelled::Perhaps,
    }
}

pub(super) fn cancelled_since(connection: &Connection, since: u64) -> rusqlite::Result<Vec<Uuid>> {
    connection
        .prepare_cached("SELECT request_id FROM callbacks WHERE cancelled_at >= ?1")?
        .query_map([number(since)], |row| id(row, 0))?
        .collect()
}

/// The callback as its dead letter goes into the next generation.
fn taken(row: &Row<'_>) -> rusqlite::Result<Replay> {
    let generation: u32 = row.get(1)?;
    let dead_letter: Vec<u8> = row.get(2)?;
    Ok(Replay {
        request_id: id(row, 0)?,
        generation: generation.saturating_add(1),
        dead_letter: Bytes::from(dead_letter),
    })
}

fn start(connection: &Connection, replay: &Replay, now: u64) -> rusqlite::Result<()> {
    let rank = precedence::replayed(replay.generation, now);
    let started = connection
        .prepare_cached(
            "UPDATE callbacks SET status = 'queued', generation = ?2, weight = ?3, at = ?4,
             tie = ?5, reason = NULL, waiting_for = NULL, next_attempt_at = NULL,
             cancel_requested = 0, cancelled_at = NULL, replay_taken_at = ?4
             WHERE request_id = ?1",
        )?
        .execute(params![
            replay.request_id.as_bytes(),
            rank.generation,
            rank.weight,
            rank.at,
            rank.tie,
        ]);
    started.map(drop)
}

/// At most `limit` dead letters that match, oldest first; `and` is one more condition.
fn dead(
    connection: &Connection,
    filter: &Filter,
    and: &str,
    limit: u32,
) -> rusqlite::Result<Vec<Uuid>> {
    let mut ids = Vec::new();
    for mut part in Condition::dead(filter) {
        part.values.push(Value::Integer(i64::from(limit)));
        let sql = format!(
            "SELECT request_id FROM {} {and} ORDER BY request_id LIMIT ?",
            part.sql()
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement.query_map(params_from_iter(part.values), |row| id(row, 0))?;
        for id in found {
            ids.push(id?);
        }
    }
    ids.sort_unstable();
    ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(ids)
}

pub(super) fn take_replays(
    connection: &Connection,
    filter: &Filter,
    limit: u32,
    now: u64,
) -> rusqlite::Result<Vec<Replay>> {
    let with_body = "AND dead_letter IS NOT NULL";
    let ids = dead(connection, filter, with_body, limit.min(MOST_AT_ONCE))?;
    let mut replays = Vec::with_capacity(ids.len());
    let mut bytes = 0;
    for request_id in ids {
        let Some(replay) = take(connection, request_id, now)? else {
            continue;
        };
        bytes += replay.dead_letter.len();
        replays.push(replay);
        if bytes >= MOST_BYTES {
            break;
        }
    }
    Ok(replays)
}

pub(super) fn take_replay(
    connection: &Connection,
    request_id: Uuid,
    now: u64,
) -> rusqlite::Result<Mended> {
    if let Some(replay) = take(connection, request_id, now)? {
        return Ok(Mended::Replay(replay));
    }
    let known = connection
        .prepare_cached("SELECT 1 FROM callbacks WHERE request_id = ?1")?
        .exists([request_id.as_bytes()])?;
    Ok(if known {
        Mended::NotDead
    } else {
        Mended::Unknown
    })
}

fn take(connection: &Connection, request_id: Uuid, now: u64) -> rusqlite::Result<Option<Replay>> {
    let sql = format!(
        "SELECT request_id, generation, dead_letter FROM callbacks
         WHERE request_id = ?1 AND {DEAD} AND dead_letter IS NOT NULL"
    );
    let found = connection
        .prepare_cached(&sql)?
        .query_row([request_id.as_bytes()], taken)
        .optional()?;
    if let Some(replay) = &found {
        start(connection, replay, now)?;
    }
    Ok(found)
}

pub(super) fn unfinished_replays(
    connection: &Connection,
    before: u64,
    limit: u32,
    now: u64,
) -> rusqlite::Result<Vec<Replay>> {
    let mut statement = connection.prepare_cached(
        "SELECT request_id, generation - 1, dead_letter FROM callbacks
         WHERE replay_taken_at < ?1 AND dead_letter IS NOT NULL
         ORDER BY replay_taken_at LIMIT ?2",
    )?;
    let found = statement.query_map(params![number(before), limit.min(MOST_AT_ONCE)], taken)?;
    let replays: Vec<Replay> = found.collect::<rusqlite::Result<_>>()?;
    let mut again = connection
        .prepare_cached("UPDATE callbacks SET replay_taken_at = ?2 WHERE request_id = ?1")?;
    for replay in &replays {
        again.execute(params![replay.request_id.as_bytes(), number(now)])?;
    }
    Ok(replays)
}

pub(super) fn replayed(connection: &Connection, done: &[(Uuid, u32)]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE callbacks SET replay_taken_at = NULL, dead_letter = NULL
         WHERE request_id = ?1 AND generation = ?2 AND replay_taken_at IS NOT NULL",
    )?;
    for (request_id, generation) in done {
        statement.execute(params![request_id.as_bytes(), generation])?;
    }
    Ok(())
}

pub(super) fn discard(
    connection: &Connection,
    filter: &Filter,
    limit: u32,
) -> rusqlite::Result<u64> {
    let ids = dead(connection, filter, "", limit.min(MOST_AT_ONCE))?;
    for request_id in &ids {
        discard_one(connection, *request_id)?;
    }
    Ok(u64::try_from(ids.len()).unwrap_or(u64::MAX))
}

pub(super) fn discard_one(connection: &Connection, request_id: Uuid) -> rusqlite::Result<bool> {
    let sql = format!("UPDATE callbacks SET discarded = 1 WHERE request_id = ?1 AND {DEAD}");
    let discarded = connection
        .prepare_cached(&sql)?
        .execute([request_id.as_bytes()])?;
    Ok(discarded > 0)
}
