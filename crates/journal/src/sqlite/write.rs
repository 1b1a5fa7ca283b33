//! Writes records.

use std::collections::BTreeMap;

use async_trait::async_trait;
use contract::CallbackStatus;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::counts::{CountChanges, Counted};
use super::rollup;
use super::row::status;
use super::stream::store_spans;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::merge::{self, CallbackRow};
use crate::model::{AttemptRecord, BatchPart, Record, RecordedState};
use crate::rollups::{CountedEnd, RollupChanges, RowChange, deferrals};
use crate::store::RecordStore;

/// Inserts a row, or replaces it if the merge key is greater. A record that wins over a taken
/// replay proves that the replay was published. The message is kept while the callback waits or is
/// dead, whichever record of its generation brought it (`merge/mod.rs`).
const CALLBACK: &str = "
    INSERT INTO callbacks (
        request_id, app_id, caller_no, callee_no, message_type, callback_url, target, accepted_at,
        generation, progress, updated_at, tiebreak, status, reason, deferred_reason,
        next_attempt_at, dead_letter_since, dead_letter, hold
    ) VALUES (
        ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)
    ON CONFLICT (request_id) DO UPDATE SET
        caller_no = coalesce(caller_no, excluded.caller_no),
        callee_no = coalesce(callee_no, excluded.callee_no),
        callback_url = coalesce(callback_url, excluded.callback_url),
        target = CASE target WHEN '' THEN excluded.target ELSE target END,
        generation = excluded.generation,
        progress = excluded.progress,
        updated_at = excluded.updated_at,
        tiebreak = excluded.tiebreak,
        status = excluded.status,
        reason = excluded.reason,
        deferred_reason = excluded.deferred_reason,
        next_attempt_at = excluded.next_attempt_at,
        replay_taken_at = NULL,
        unaccounted_from = NULL,
        unaccounted_at = NULL,
        hold = excluded.hold,
        dead_letter_since = CASE
            WHEN excluded.generation = generation AND excluded.status IN ('dead', 'expired')
                AND dead_letter IS NOT NULL THEN excluded.updated_at
            ELSE excluded.dead_letter_since END,
        dead_letter = CASE
            WHEN excluded.generation = generation
                AND excluded.status NOT IN ('delivered', 'cancelled')
                THEN coalesce(excluded.dead_letter, dead_letter)
            ELSE excluded.dead_letter END
    WHERE (excluded.generation, excluded.progress, excluded.updated_at, excluded.tiebreak)
        > (generation, progress, updated_at, tiebreak)";

/// Fills missing parts of a row's origin.
const ORIGIN: &str = "
    UPDATE callbacks SET
        caller_no = coalesce(caller_no, ?2),
        callee_no = coalesce(callee_no, ?3),
        callback_url = coalesce(callback_url, ?4),
        target = CASE target WHEN '' THEN ?5 ELSE target END
    WHERE request_id = ?1 AND (
        (caller_no IS NULL AND ?2 IS NOT NULL)
        OR (callee_no IS NULL AND ?3 IS NOT NULL)
        OR (callback_url IS NULL AND ?4 IS NOT NULL)
        OR (target = '' AND ?5 <> ''))";

/// Fills the missing message of a row by that of a record that did not win.
const MESSAGE: &str = "
    UPDATE callbacks SET
        dead_letter = ?2,
        dead_letter_since = CASE WHEN status IN ('dead', 'expired') THEN updated_at END
    WHERE request_id = ?1 AND generation = ?3 AND dead_letter IS NULL AND discarded = 0
        AND status NOT IN ('delivered', 'cancelled')";

const ATTEMPT: &str = "
    INSERT INTO attempts (
        request_id, generation, number, run, started_at, duration_ms, outcome, http_status, detail,
        cause, answer_type, answer
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
    ON CONFLICT DO NOTHING";

#[async_trait]
impl RecordStore for SqliteJournal {
    async fn record_batches(&self, records: &[Record], batches: &[BatchPart]) -> JournalResult<()> {
        let batches = batches.to_vec();
        let rows: BTreeMap<Uuid, CallbackRow> = merge::rows(records);
        let deferrals = deferrals(records);
        let attempts: Vec<NewAttempt> = records.iter().filter_map(NewAttempt::of).collect();
        let work = move |conn: &Connection| {
            let mut counts = CountChanges::default();
            let mut rollups = RollupChanges::default();
            for row in rows.values() {
                let before = stored(conn, row.origin.request_id)?;
                if upsert(conn, row)? {
                    let after = Counted::of(row.state.status, row.state.next_attempt_at);
                    let (app_id, counted) = match &before {
                        Some(before) => (&before.app_id, before.counted()),
                        None => (&row.origin.app_id, Counted::NOT),
                    };
                    counts.add(app_id, counted, after);
                    rollups.add_row(row, change(row, before.as_ref()));
                } else {
                    fill_origin(conn, row)?;
                    fill_message(conn, row)?;
                }
            }
            counts.store(conn)?;
            for attempt in &attempts {
                if insert_attempt(conn, attempt)?
                    && let Some(row) = rows.get(&attempt.request_id)
                {
                    rollups.add_attempt(&row.origin, &attempt.made, attempt.delivered);
                }
            }
            let is_new = store_spans(conn, &batches)?;
            rollups.add_deferrals(&rows, &deferrals, &is_new);
            rollup::store(conn, rollups)
        };
        self.writer.run(work).await
    }
}

/// An attempt of a record.
struct NewAttempt {
    request_id: Uuid,
    made: AttemptRecord,
    delivered: bool,
}

impl NewAttempt {
    fn of(record: &Record) -> Option<Self> {
        Some(Self {
            request_id: record.origin.request_id,
            made: record.attempted.clone()?,
            delivered: record.state == RecordedState::Delivered,
        })
    }
}

/// Returns whether it was not stored before.
fn insert_attempt(conn: &Connection, attempt: &NewAttempt) -> rusqlite::Result<bool> {
    let NewAttempt {
        request_id, made, ..
    } = attempt;
    let answer = made.answer.as_ref();
    let inserted = conn.prepare_cached(ATTEMPT)?.execute(params![
        request_id.as_bytes(),
        made.generation,
        made.number,
        made.run.cast_signed(),
        bigint(made.started_at),
        bigint(made.duration_ms),
        made.outcome,
        made.http_status,
        made.detail,
        made.cause,
        answer.and_then(|answer| answer.content_type.as_deref()),
        answer.map(|answer| answer.text.as_str()),
    ])?;
    Ok(inserted > 0)
}

/// What the counts and the rollups must know of a row before it changes.
struct StoredRow {
    app_id: String,
    status: CallbackStatus,
    next_attempt_at: Option<i64>,
    generation: i64,
    updated_at: i64,
}

impl StoredRow {
    fn counted(&self) -> Counted {
        Counted::of(self.status, self.next_attempt_at)
    }
}

/// `None`: there is no row.
fn stored(conn: &Connection, request_id: Uuid) -> rusqlite::Result<Option<StoredRow>> {
    conn.prepare_cached(
        "SELECT app_id, status, next_attempt_at, generation, updated_at FROM callbacks
         WHERE request_id = ?1",
    )?
    .query_row([request_id.as_bytes()], |row| {
        Ok(StoredRow {
            app_id: row.get(0)?,
            status: status(row, 1)?,
            next_attempt_at: row.get(2)?,
            generation: row.get(3)?,
            updated_at: row.get(4)?,
        })
    })
    .optional()
}

/// What the upsert of a row that has won did.
fn change(row: &CallbackRow, before: Option<&StoredRow>) -> RowChange {
    let Some(before) = before else {
        return RowChange::Inserted;
    };
    let same_generation = before.generation == row.state.key.generation;
    let counted = CountedEnd::of(before.status, before.updated_at);
    RowChange::Moved(counted.filter(|_| same_generation))
}

/// Returns whether the row was inserted or replaced.
fn upsert(conn: &Connection, row: &CallbackRow) -> rusqlite::Result<bool> {
    let CallbackRow {
        origin,
        state,
        message,
    } = row;
    let changed = conn.prepare_cached(CALLBACK)?.execute(params![
        origin.request_id.as_bytes(),
        origin.app_id,
        origin.caller_no,
        origin.callee_no,
        origin.message_type,
        origin.callback_url,
        origin.target,
        bigint(origin.accepted_at),
        state.key.generation,
        state.key.progress,
        state.key.updated_at,
        state.key.tiebreak,
        state.status.as_str(),
        state.reason,
        state.deferred_reason,
        state.next_attempt_at,
        row.kept_since(),
        message.as_deref(),
        state.hold,
    ])?;
    Ok(changed > 0)
}

fn fill_message(conn: &Connection, row: &CallbackRow) -> rusqlite::Result<()> {
    let Some(message) = &row.message else {
        return Ok(());
    };
    let filled = conn.prepare_cached(MESSAGE)?.execute(params![
        row.origin.request_id.as_bytes(),
        &message[..],
        row.state.key.generation,
    ]);
    filled.map(drop)
}

fn fill_origin(conn: &Connection, row: &CallbackRow) -> rusqlite::Result<()> {
    let origin = &row.origin;
    let mut statement = conn.prepare_cached(ORIGIN)?;
    let filled = statement.execute(params![
        origin.request_id.as_bytes(),
        origin.caller_no,
        origin.callee_no,
        origin.callback_url,
        origin.target,
    ]);
    filled.map(drop)
}
