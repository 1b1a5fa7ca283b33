//! Cancellation, and the control states that workers read.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use contract::{CallbackStatus, duration_ms};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::counts::{CountChanges, Counted};
use super::filter::FilterSql;
use super::row::{id, status};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::merge::CANCELLED;
use crate::model::{CancelOutcome, CancelledMany, ControlState, Filter, MAX_CANCELLED};
use crate::store::ControlStore;

/// The maximum number of rows in one step: other writers wait for it.
const MAX_STEP: u32 = 1_000;

/// Cancels the callback. Of later records of this generation, only a delivery wins over it.
const CANCEL: &str = "
    UPDATE callbacks SET status = 'cancelled', progress = ?2, updated_at = ?3, tiebreak = 0,
        reason = NULL, deferred_reason = NULL, next_attempt_at = NULL, dead_letter = NULL,
        dead_letter_since = NULL, replay_taken_at = NULL, cancel_requested_at = ?3,
        unaccounted_from = NULL, unaccounted_at = NULL
    WHERE request_id = ?1";

#[async_trait]
impl ControlStore for SqliteJournal {
    async fn control_states(
        &self,
        request_ids: &[Uuid],
    ) -> JournalResult<HashMap<Uuid, ControlState>> {
        let request_ids = request_ids.to_vec();
        let work = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(
                "SELECT generation, status, cancel_requested, discarded, hold FROM callbacks
                 WHERE request_id = ?1",
            )?;
            let mut states = HashMap::with_capacity(request_ids.len());
            for request_id in &request_ids {
                let found = statement.query_row([request_id.as_bytes()], control_state);
                states.extend(found.optional()?.map(|state| (*request_id, state)));
            }
            Ok(states)
        };
        self.reader.run(work).await
    }

    async fn cancel(
        &self,
        request_id: Uuid,
        app_id: Option<&str>,
        now: u64,
        margin: Duration,
    ) -> JournalResult<CancelOutcome> {
        let app_id = app_id.map(str::to_owned);
        let work = move |conn: &Connection| {
            let found = conn
                .prepare_cached(
                    "SELECT status, next_attempt_at, app_id FROM callbacks
                     WHERE request_id = ?1 AND app_id = coalesce(?2, app_id)",
                )?
                .query_row(params![request_id.as_bytes(), app_id], |row| {
                    Ok((status(row, 0)?, row.get(1)?, row.get::<_, String>(2)?))
                })
                .optional()?;
            let Some((status, next_attempt_at, app_id)) = found else {
                return Ok(CancelOutcome::Unknown);
            };
            let in_flight_until = bigint(now.saturating_add(duration_ms(margin)));
            let outcome = CancelOutcome::of(status, next_attempt_at, in_flight_until);
            let row = CancelRow {
                request_id,
                status,
                next_attempt_at,
                app_id,
            };
            let mut counts = CountChanges::default();
            cancel_row(conn, &row, outcome, bigint(now), &mut counts)?;
            counts.store(conn)?;
            Ok(outcome)
        };
        self.writer.run(work).await
    }

    async fn cancel_matching(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
        margin: Duration,
    ) -> JournalResult<CancelledMany> {
        let filter = filter.clone();
        let work = move |conn: &Connection| {
            let in_flight_until = bigint(now.saturating_add(duration_ms(margin)));
            let mut many = CancelledMany::default();
            let mut counts = CountChanges::default();
            for row in cancellable(conn, &filter, limit.min(MAX_STEP), now)? {
                let outcome = CancelOutcome::of(row.status, row.next_attempt_at, in_flight_until);
                cancel_row(conn, &row, outcome, bigint(now), &mut counts)?;
                many.add(row.request_id, outcome);
            }
            counts.store(conn)?;
            Ok(many)
        };
        self.writer.run(work).await
    }

    async fn cancelled_since(&self, since: u64) -> JournalResult<Vec<(Uuid, u32)>> {
        let select = move |conn: &Connection| {
            conn.prepare_cached(
                "SELECT request_id, generation FROM callbacks WHERE cancel_requested_at >= ?1
                 ORDER BY cancel_requested_at DESC LIMIT ?2",
            )?
            .query_map(params![bigint(since), MAX_CANCELLED], |row| {
                Ok((id(row, 0)?, row.get(1)?))
            })?
            .collect()
        };
        self.reader.run(select).await
    }
}

/// What the decision about a row needs.
struct CancelRow {
    request_id: Uuid,
    status: CallbackStatus,
    next_attempt_at: Option<i64>,
    app_id: String,
}

/// At most `limit` callbacks that match, wait, and are not about to be cancelled, oldest first.
fn cancellable(
    conn: &Connection,
    filter: &Filter,
    limit: u32,
    now: u64,
) -> rusqlite::Result<Vec<CancelRow>> {
    let mut found = Vec::new();
    let mut parts = FilterSql::waiting(filter, now);
    parts.push(FilterSql::unaccounted(filter));
    for mut part in parts {
        part.values.push(Value::Integer(i64::from(limit)));
        let sql = format!(
            "SELECT request_id, status, next_attempt_at, app_id FROM {}
             AND cancel_requested = 0 ORDER BY request_id LIMIT ?",
            part.sql()
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(part.values), |row| {
            Ok(CancelRow {
                request_id: id(row, 0)?,
                status: status(row, 1)?,
                next_attempt_at: row.get(2)?,
                app_id: row.get(3)?,
            })
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    found.sort_unstable_by_key(|row| row.request_id);
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

/// Does what was decided about a row, at `now`.
fn cancel_row(
    conn: &Connection,
    row: &CancelRow,
    outcome: CancelOutcome,
    now: i64,
    counts: &mut CountChanges,
) -> rusqlite::Result<()> {
    match outcome {
        CancelOutcome::Cancelled if row.status != CallbackStatus::Cancelled => {
            let mut statement = conn.prepare_cached(CANCEL)?;
            statement.execute(params![row.request_id.as_bytes(), CANCELLED, now])?;
            let before = Counted::of(row.status, row.next_attempt_at);
            counts.add(&row.app_id, before, Counted::NOT);
        }
        CancelOutcome::Requested => {
            let mut statement = conn.prepare_cached(
                "UPDATE callbacks SET cancel_requested = 1, cancel_requested_at = ?2
                 WHERE request_id = ?1",
            )?;
            statement.execute(params![row.request_id.as_bytes(), now])?;
        }
        CancelOutcome::Cancelled | CancelOutcome::AlreadyEnded(_) | CancelOutcome::Unknown => {}
    }
    Ok(())
}

fn control_state(row: &Row<'_>) -> rusqlite::Result<ControlState> {
    let status = status(row, 1)?;
    Ok(ControlState {
        generation: row.get(0)?,
        hold: row.get(4)?,
        status,
        cancelled: status == CallbackStatus::Cancelled || row.get(2)?,
        discarded: row.get(3)?,
    })
}
