//! How does a record become a row, over whatever is there?

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::precedence::{Row, number};
use crate::record::Attempt;

/// The row is replaced by a higher rank alone. A record that wins over a replay shows that the
/// replay was published.
const CALLBACK: &str = "
    INSERT INTO callbacks (
        request_id, app_id, caller_no, callee_no, message_type, callback_url, target, accepted_at,
        generation, weight, at, tie, status, reason, waiting_for, next_attempt_at, dead_letter
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
    ON CONFLICT (request_id) DO UPDATE SET
        caller_no = coalesce(caller_no, excluded.caller_no),
        callee_no = coalesce(callee_no, excluded.callee_no),
        callback_url = coalesce(callback_url, excluded.callback_url),
        target = CASE target WHEN '' THEN excluded.target ELSE target END,
        generation = excluded.generation,
        weight = excluded.weight,
        at = excluded.at,
        tie = excluded.tie,
        status = excluded.status,
        reason = excluded.reason,
        waiting_for = excluded.waiting_for,
        next_attempt_at = excluded.next_attempt_at,
        replay_taken_at = NULL,
        dead_letter = excluded.dead_letter
    WHERE (excluded.generation, excluded.weight, excluded.at, excluded.tie)
        > (generation, weight, at, tie)";

/// What is still unknown of a row's origin.
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

const ATTEMPT: &str = "
    INSERT INTO attempts (
        request_id, generation, number, run, started_at, duration_ms, outcome, http_status, detail
    ) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
    ON CONFLICT DO NOTHING";

/// Stores rows and attempts.
pub(super) fn record(
    connection: &Connection,
    rows: &[Row],
    attempts: &[(Uuid, Attempt)],
) -> rusqlite::Result<()> {
    for row in rows {
        if !put(connection, row)? {
            fill(connection, row)?;
        }
    }
    let mut statement = connection.prepare_cached(ATTEMPT)?;
    for (request_id, attempt) in attempts {
        statement.execute(params![
            request_id.as_bytes(),
            attempt.generation,
            attempt.number,
            attempt.run.cast_signed(),
            number(attempt.started_at),
            number(attempt.duration_ms),
            attempt.outcome,
            attempt.http_status,
            attempt.detail,
        ])?;
    }
    Ok(())
}

/// Returns whether the row is new, or higher than what was there.
fn put(connection: &Connection, row: &Row) -> rusqlite::Result<bool> {
    let Row { origin, standing } = row;
    let changed = connection.prepare_cached(CALLBACK)?.execute(params![
        origin.request_id.as_bytes(),
        origin.app_id,
        origin.caller_no,
        origin.callee_no,
        origin.message_type,
        origin.callback_url,
        origin.target,
        number(origin.accepted_at),
        standing.rank.generation,
        standing.rank.weight,
        standing.rank.at,
        standing.rank.tie,
        standing.status.as_str(),
        standing.reason,
        standing.waiting_for,
        standing.next_attempt_at,
        standing.dead_letter.as_deref(),
    ])?;
    Ok(changed > 0)
}

fn fill(connection: &Connection, row: &Row) -> rusqlite::Result<()> {
    let origin = &row.origin;
    let mut statement = connection.prepare_cached(ORIGIN)?;
    let filled = statement.execute(params![
        origin.request_id.as_bytes(),
        origin.caller_no,
        origin.callee_no,
        origin.callback_url,
        origin.target,
    ]);
    filled.map(drop)
}
