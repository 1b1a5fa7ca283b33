//! How does a row become a callback again?

use sqlx::postgres::PgRow;
use sqlx::{Error, Row as _};
use uuid::Uuid;

use crate::callback::{Callback, Status};
use crate::fate::Fate;
use crate::record::{Attempt, Origin};

/// All columns that [`callback`] reads: the body of a dead letter is not among them.
pub(super) const COLUMNS: &str = "request_id, generation, at, status, reason, waiting_for, \
     next_attempt_at, cancel_requested, discarded, app_id, caller_no, callee_no, message_type, \
     callback_url, target, accepted_at";

/// The number of a status in its column; `Delivering` is never stored.
pub(super) const fn code(status: Status) -> i16 {
    match status {
        Status::Queued => 0,
        Status::Retrying | Status::Delivering => 1,
        Status::Delivered => 2,
        Status::Dead => 3,
        Status::Expired => 4,
        Status::Cancelled => 5,
    }
}

pub(super) fn status(row: &PgRow) -> Result<Status, Error> {
    let found: i16 = row.try_get("status")?;
    let mut stored = Status::ALL
        .into_iter()
        .filter(|it| *it != Status::Delivering);
    stored
        .find(|it| code(*it) == found)
        .ok_or_else(|| Error::Decode(format!("{found} is no status").into()))
}

/// A number that was never negative when it was stored.
pub(super) fn unsigned<T: TryFrom<i64> + Default>(row: &PgRow, column: &str) -> Result<T, Error> {
    let number: i64 = row.try_get(column)?;
    Ok(T::try_from(number).unwrap_or_default())
}

pub(super) fn callback(row: &PgRow) -> Result<Callback, Error> {
    let next: Option<i64> = row.try_get("next_attempt_at")?;
    Ok(Callback {
        origin: Origin {
            request_id: row.try_get("request_id")?,
            app_id: row.try_get("app_id")?,
            caller_no: row.try_get("caller_no")?,
            callee_no: row.try_get("callee_no")?,
            message_type: row.try_get("message_type")?,
            callback_url: row.try_get("callback_url")?,
            target: row.try_get("target")?,
            accepted_at: unsigned(row, "accepted_at")?,
        },
        generation: unsigned(row, "generation")?,
        status: status(row)?,
        reason: row.try_get("reason")?,
        waiting_for: row.try_get("waiting_for")?,
        next_attempt_at: next.and_then(|at| u64::try_from(at).ok()),
        cancel_requested: row.try_get("cancel_requested")?,
        discarded: row.try_get("discarded")?,
        updated_at: unsigned(row, "at")?,
        attempts: Vec::new(),
    })
}

pub(super) fn attempt(row: &PgRow) -> Result<Attempt, Error> {
    let run: i64 = row.try_get("run")?;
    let http_status: Option<i32> = row.try_get("http_status")?;
    Ok(Attempt {
        generation: unsigned(row, "generation")?,
        number: unsigned(row, "number")?,
        run: run.cast_unsigned(),
        started_at: unsigned(row, "started_at")?,
        duration_ms: unsigned(row, "duration_ms")?,
        outcome: row.try_get("outcome")?,
        http_status: http_status.and_then(|it| u16::try_from(it).ok()),
        detail: row.try_get("detail")?,
    })
}

pub(super) fn fate(row: &PgRow) -> Result<(Uuid, Fate), Error> {
    let status = status(row)?;
    let asked: bool = row.try_get("cancel_requested")?;
    let fate = Fate {
        generation: unsigned(row, "generation")?,
        status,
        cancelled: asked || status == Status::Cancelled,
        discarded: row.try_get("discarded")?,
    };
    Ok((row.try_get("request_id")?, fate))
}
