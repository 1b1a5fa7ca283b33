//! How is a row read back?

use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::types::{Type, Value};
use rusqlite::{Connection, OptionalExtension as _, Row, params_from_iter};
use uuid::Uuid;

use crate::callback::{Callback, Status};
use crate::fate::Fate;
use crate::query::{Cursor, Filter, Page};
use crate::record::{Attempt, Origin};

use super::filter::{Condition, blob};

/// The columns of a callback, in the order of [`callback`].
const COLUMNS: &str = "
    request_id, app_id, caller_no, callee_no, message_type, callback_url, target, accepted_at,
    generation, at, status, reason, waiting_for, next_attempt_at, cancel_requested, discarded";

/// A page holds no more, whatever is asked for.
const LARGEST_PAGE: u32 = 1_000;

pub(super) fn find(
    connection: &Connection,
    request_id: Uuid,
) -> rusqlite::Result<Option<Callback>> {
    let sql = format!("SELECT {COLUMNS} FROM callbacks WHERE request_id = ?1");
    let found = connection
        .prepare_cached(&sql)?
        .query_row([request_id.as_bytes()], callback)
        .optional()?;
    let Some(mut callback) = found else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT generation, number, run, started_at, duration_ms, outcome, http_status, detail
         FROM attempts WHERE request_id = ?1 ORDER BY generation, number, started_at, run",
    )?;
    let attempts = statement.query_map([request_id.as_bytes()], attempt)?;
    callback.attempts = attempts.collect::<rusqlite::Result<_>>()?;
    Ok(Some(callback))
}

pub(super) fn list(
    connection: &Connection,
    filter: &Filter,
    after: Option<Cursor>,
    limit: u32,
    now: u64,
) -> rusqlite::Result<Page> {
    let limit = limit.min(LARGEST_PAGE);
    let mut callbacks: Vec<Callback> = Vec::new();
    for mut part in Condition::parts(filter, now) {
        if let Some(Cursor(after)) = after {
            part.and("request_id < ?", blob(after));
        }
        // One more than asked for shows whether there is another page.
        part.values.push(Value::Integer(i64::from(limit) + 1));
        let sql = format!(
            "SELECT {COLUMNS} FROM {} ORDER BY request_id DESC LIMIT ?",
            part.sql()
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let found = statement.query_map(params_from_iter(part.values), callback)?;
        for callback in found {
            callbacks.push(callback?);
        }
    }
    callbacks.sort_by_key(|it| std::cmp::Reverse(it.origin.request_id));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = callbacks.len() > limit;
    callbacks.truncate(limit);
    let last = callbacks.last().filter(|_| more);
    let next = last.map(|it| Cursor(it.origin.request_id));
    Ok(Page { callbacks, next })
}

pub(super) fn count(connection: &Connection, filter: &Filter, now: u64) -> rusqlite::Result<u64> {
    let condition = Condition::whole(filter, now);
    let sql = format!("SELECT count(*) FROM {}", condition.sql());
    connection
        .prepare_cached(&sql)?
        .query_row(params_from_iter(condition.values), |row| unsigned(row, 0))
}

pub(super) fn fates(
    connection: &Connection,
    request_ids: &[Uuid],
) -> rusqlite::Result<HashMap<Uuid, Fate>> {
    let mut statement = connection.prepare_cached(
        "SELECT generation, status, cancel_requested, discarded FROM callbacks
         WHERE request_id = ?1",
    )?;
    let mut fates = HashMap::with_capacity(request_ids.len());
    for request_id in request_ids {
        let fate = |row: &Row<'_>| {
            let status = status(row, 1)?;
            Ok(Fate {
                generation: row.get(0)?,
                status,
                cancelled: status == Status::Cancelled || row.get(2)?,
                discarded: row.get(3)?,
            })
        };
        let found = statement.query_row([request_id.as_bytes()], fate);
        fates.extend(found.optional()?.map(|fate| (*request_id, fate)));
    }
    Ok(fates)
}

pub(super) fn dead_letter(
    connection: &Connection,
    request_id: Uuid,
) -> rusqlite::Result<Option<Bytes>> {
    let found = connection
        .prepare_cached(
            "SELECT dead_letter FROM callbacks
             WHERE request_id = ?1 AND status IN ('dead', 'expired')",
        )?
        .query_row([request_id.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(found.flatten().map(|body: Vec<u8>| Bytes::from(body)))
}

fn callback(row: &Row<'_>) -> rusqlite::Result<Callback> {
    Ok(Callback {
        origin: Origin {
            request_id: id(row, 0)?,
            app_id: row.get(1)?,
            caller_no: row.get(2)?,
            callee_no: row.get(3)?,
            message_type: row.get(4)?,
            callback_url: row.get(5)?,
            target: row.get(6)?,
            accepted_at: unsigned(row, 7)?,
        },
        generation: row.get(8)?,
        updated_at: unsigned(row, 9)?,
        status: status(row, 10)?,
        reason: row.get(11)?,
        waiting_for: row.get(12)?,
        next_attempt_at: row
            .get::<_, Option<i64>>(13)?
            .map(|_| unsigned(row, 13))
            .transpose()?,
        cancel_requested: row.get(14)?,
        discarded: row.get(15)?,
        attempts: Vec::new(),
    })
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let run: i64 = row.get(2)?;
    Ok(Attempt {
        generation: row.get(0)?,
        number: row.get(1)?,
        run: run.cast_unsigned(),
        started_at: unsigned(row, 3)?,
        duration_ms: unsigned(row, 4)?,
        outcome: row.get(5)?,
        http_status: row.get(6)?,
        detail: row.get(7)?,
    })
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

/// A status that this program does not know is no status of its file.
pub(super) fn status(row: &Row<'_>, column: usize) -> rusqlite::Result<Status> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: String| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

/// Nothing negative is ever stored where this is used.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(u64::try_from(number).unwrap_or_default())
}
