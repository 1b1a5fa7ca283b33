//! Conversions between rows and values.

use std::borrow::Cow;

use contract::CallbackStatus;
use sqlx::postgres::PgRow;
use sqlx::{Error, Row as _};

use crate::model::{AttemptRecord, Callback, Origin, TargetAnswer, Unaccounted};

/// All columns that [`callback`] reads, without the message.
pub(super) const COLUMNS: &str = "request_id, generation, updated_at, status, reason, \
     deferred_reason, next_attempt_at, cancel_requested, discarded, \
     retention_discarded_at IS NOT NULL AS discarded_by_retention, app_id, caller_no, callee_no, \
     message_type, callback_url, target, accepted_at, unaccounted_from, unaccounted_at, hold, \
     dead_letter IS NOT NULL AS has_message, cancel_requested_at";

/// All columns that [`attempt`] reads.
pub(super) const ATTEMPT_COLUMNS: &str = "generation, number, run, started_at, duration_ms, outcome, \
     http_status, detail, cause, answer_type, answer";

/// The number of a status in its column; `Delivering` is never stored.
pub(super) const fn code(status: CallbackStatus) -> i16 {
    match status {
        CallbackStatus::Queued => 0,
        CallbackStatus::Retrying | CallbackStatus::Delivering => 1,
        CallbackStatus::Delivered => 2,
        CallbackStatus::Dead => 3,
        CallbackStatus::Expired => 4,
        CallbackStatus::Cancelled => 5,
        CallbackStatus::Unaccounted => 6,
    }
}

pub(super) fn status(row: &PgRow) -> Result<CallbackStatus, Error> {
    status_of(row.try_get("status")?)
}

fn status_of(found: i16) -> Result<CallbackStatus, Error> {
    CallbackStatus::ALL
        .into_iter()
        .filter(|status| *status != CallbackStatus::Delivering)
        .find(|status| code(*status) == found)
        .ok_or_else(|| Error::Decode(format!("unknown status {found}").into()))
}

/// A number that was not negative when it was stored.
pub(super) fn unsigned<T: TryFrom<i64> + Default>(row: &PgRow, column: &str) -> Result<T, Error> {
    let number: i64 = row.try_get(column)?;
    Ok(T::try_from(number).unwrap_or_default())
}

/// PostgreSQL's text cannot hold NUL: replace it, so that the record is not lost.
pub(super) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

pub(super) fn callback(row: &PgRow) -> Result<Callback, Error> {
    let next_attempt_at: Option<i64> = row.try_get("next_attempt_at")?;
    let cancel_requested_at: Option<i64> = row.try_get("cancel_requested_at")?;
    Ok(Callback {
        origin: Origin {
            request_id: row.try_get("request_id")?,
            app_id: row.try_get("app_id")?,
            caller_no: not_erased(row.try_get("caller_no")?),
            callee_no: row.try_get("callee_no")?,
            message_type: row.try_get("message_type")?,
            callback_url: not_erased(row.try_get("callback_url")?),
            target: row.try_get("target")?,
            accepted_at: unsigned(row, "accepted_at")?,
        },
        generation: unsigned(row, "generation")?,
        status: status(row)?,
        reason: row.try_get("reason")?,
        deferred_reason: row.try_get("deferred_reason")?,
        next_attempt_at: next_attempt_at.and_then(|at| u64::try_from(at).ok()),
        cancel_requested: row.try_get("cancel_requested")?,
        cancel_requested_at: cancel_requested_at.and_then(|at| u64::try_from(at).ok()),
        discarded: row.try_get("discarded")?,
        discarded_by_retention: row.try_get("discarded_by_retention")?,
        updated_at: unsigned(row, "updated_at")?,
        unaccounted: unaccounted(row)?,
        hold: unsigned(row, "hold")?,
        has_message: row.try_get("has_message")?,
        attempts: Vec::new(),
    })
}

/// An erased URL is empty.
fn not_erased(url: Option<String>) -> Option<String> {
    url.filter(|url| !url.is_empty())
}

fn unaccounted(row: &PgRow) -> Result<Option<Unaccounted>, Error> {
    let from: Option<i16> = row.try_get("unaccounted_from")?;
    let at: Option<i64> = row.try_get("unaccounted_at")?;
    let Some((from, at)) = from.zip(at) else {
        return Ok(None);
    };
    Ok(Some(Unaccounted {
        last_status: status_of(from)?,
        since: u64::try_from(at).unwrap_or_default(),
    }))
}

pub(super) fn attempt(row: &PgRow) -> Result<AttemptRecord, Error> {
    let run: i64 = row.try_get("run")?;
    let http_status: Option<i32> = row.try_get("http_status")?;
    let (answer, content_type): (Option<String>, Option<String>) =
        (row.try_get("answer")?, row.try_get("answer_type")?);
    Ok(AttemptRecord {
        generation: unsigned(row, "generation")?,
        number: unsigned(row, "number")?,
        run: run.cast_unsigned(),
        started_at: unsigned(row, "started_at")?,
        duration_ms: unsigned(row, "duration_ms")?,
        outcome: row.try_get("outcome")?,
        http_status: http_status.and_then(|status| u16::try_from(status).ok()),
        detail: row.try_get("detail")?,
        cause: row.try_get("cause")?,
        answer: answer.map(|text| TargetAnswer { content_type, text }),
    })
}
