//! Conversions from rows to values.

use contract::{CallbackStatus, UnknownStatus};
use rusqlite::Row;
use rusqlite::types::Type;
use uuid::Uuid;

use crate::model::{AttemptRecord, Callback, Origin, TargetAnswer, Unaccounted};

/// The columns that [`callback`] reads, in its order, without the message.
pub(super) const COLUMNS: &str = "
    request_id, app_id, caller_no, callee_no, message_type, callback_url, target, accepted_at,
    generation, updated_at, status, reason, deferred_reason, next_attempt_at, cancel_requested,
    discarded, CASE WHEN discarded THEN retention_discarded_at IS NOT NULL ELSE 0 END,
    unaccounted_from, unaccounted_at, hold, dead_letter IS NOT NULL, cancel_requested_at";

/// The columns that [`attempt`] reads, in its order.
pub(super) const ATTEMPT_COLUMNS: &str =
    "generation, number, run, started_at, duration_ms, outcome,
    http_status, detail, cause, answer_type, answer";

pub(super) fn callback(row: &Row<'_>) -> rusqlite::Result<Callback> {
    let next_attempt_at: Option<i64> = row.get(13)?;
    let cancel_requested_at: Option<i64> = row.get(21)?;
    Ok(Callback {
        origin: Origin {
            request_id: id(row, 0)?,
            app_id: row.get(1)?,
            caller_no: not_erased(row.get(2)?),
            callee_no: row.get(3)?,
            message_type: row.get(4)?,
            callback_url: not_erased(row.get(5)?),
            target: row.get(6)?,
            accepted_at: unsigned(row, 7)?,
        },
        generation: row.get(8)?,
        updated_at: unsigned(row, 9)?,
        status: status(row, 10)?,
        reason: row.get(11)?,
        deferred_reason: row.get(12)?,
        next_attempt_at: next_attempt_at.map(|at| u64::try_from(at).unwrap_or_default()),
        cancel_requested: row.get(14)?,
        cancel_requested_at: cancel_requested_at.and_then(|at| u64::try_from(at).ok()),
        discarded: row.get(15)?,
        discarded_by_retention: row.get(16)?,
        unaccounted: unaccounted(row, 17)?,
        hold: row.get(19)?,
        has_message: row.get(20)?,
        attempts: Vec::new(),
    })
}

/// An erased URL is empty.
fn not_erased(url: Option<String>) -> Option<String> {
    url.filter(|url| !url.is_empty())
}

pub(super) fn attempt(row: &Row<'_>) -> rusqlite::Result<AttemptRecord> {
    let run: i64 = row.get(2)?;
    let (content_type, answer): (Option<String>, Option<String>) = (row.get(9)?, row.get(10)?);
    Ok(AttemptRecord {
        generation: row.get(0)?,
        number: row.get(1)?,
        run: run.cast_unsigned(),
        started_at: unsigned(row, 3)?,
        duration_ms: unsigned(row, 4)?,
        outcome: row.get(5)?,
        http_status: row.get(6)?,
        detail: row.get(7)?,
        cause: row.get(8)?,
        answer: answer.map(|text| TargetAnswer { content_type, text }),
    })
}

pub(super) fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

/// The status before, and the time after it.
fn unaccounted(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Unaccounted>> {
    let at: Option<i64> = row.get(column + 1)?;
    let Some(at) = at else {
        return Ok(None);
    };
    Ok(Some(Unaccounted {
        last_status: status(row, column)?,
        since: u64::try_from(at).unwrap_or_default(),
    }))
}

pub(super) fn status(row: &Row<'_>, column: usize) -> rusqlite::Result<CallbackStatus> {
    let text: String = row.get(column)?;
    text.parse().map_err(|error: UnknownStatus| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}

/// A number that was not negative when it was stored.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    Ok(u64::try_from(number).unwrap_or_default())
}
