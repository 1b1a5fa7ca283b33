//! Retention: removes what is past its retention, in small steps.

use async_trait::async_trait;
use contract::duration_ms;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::audit;
use super::connection::SqliteJournal;
use super::counts;
use super::row::{id, unsigned};
use crate::column::{bigint, first_id};
use crate::error::JournalResult;
use crate::model::{
    MAX_UNFINISHED_COUNTED, Remembered, Retention, RetentionProgress, keys_end_at,
    retention_discards, retention_operation,
};
use crate::store::RetentionStore;

/// Rows of each kind in one step: writers wait for it.
const STEP: u32 = 1_000;

/// What is not kept: everything but callbacks that have not ended, and dead letters that have a body
/// and are not discarded, and what is remembered.
fn removable(remembered: Remembered) -> String {
    let Remembered {
        discarded_since,
        cancelled_since,
    } = remembered;
    format!(
        "status NOT IN ('queued', 'retrying') AND NOT (status IN ('dead', 'expired') AND
         (discarded = 0 AND dead_letter_since IS NOT NULL
          OR coalesce(retention_discarded_at, 0) > {discarded_since}))
         AND coalesce(cancel_requested_at, 0) <= {cancelled_since}"
    )
}

#[async_trait]
impl RetentionStore for SqliteJournal {
    async fn apply_retention(
        &self,
        retention: Retention,
        now: u64,
    ) -> JournalResult<RetentionProgress> {
        let before = move |kept| now.saturating_sub(duration_ms(kept));
        let bound = before(retention.callbacks);
        let until = before(retention.dead_letters);
        let remembered = Remembered::at(now);
        let work = move |conn: &Connection| discard(conn, until, now);
        let (letters, bodies) = self.writer.run(work).await?;
        let until = before(retention.delivered);
        let work = move |conn: &Connection| erase_delivered(conn, until);
        let messages = self.writer.run(work).await?;
        // The search passes those that are kept: no writer waits for it.
        let select = move |conn: &Connection| find_removable(conn, bound, remembered);
        let expired = self.lister.run(select).await?;
        let clock = self.clock.clone();
        let work = move |conn: &Connection| {
            counts::remove_idle(conn)?;
            let callbacks = delete_callbacks(conn, &expired, remembered)?;
            let audits = delete_audits(conn, before(retention.audits))?;
            let rollups = delete_rollups(conn, before(retention.rollups))?;
            let keys = delete_keys(conn, keys_end_at(now, clock.now_ms()))?;
            let step = usize::try_from(STEP).unwrap_or(usize::MAX);
            let more = [expired.len(), bodies, messages, audits, rollups, keys].contains(&step);
            let [callbacks, dead_letters, audits, rollups, idempotency_keys] =
                [callbacks, letters, audits, rollups, keys]
                    .map(|rows| u64::try_from(rows).unwrap_or(u64::MAX));
            Ok(RetentionProgress {
                callbacks,
                dead_letters,
                audits,
                rollups,
                idempotency_keys,
                more,
                unfinished: 0,
            })
        };
        let mut progress = self.writer.run(work).await?;
        if !progress.more {
            let count = move |conn: &Connection| count_unfinished(conn, bound);
            progress.unfinished = self.lister.run(count).await?;
        }
        Ok(progress)
    }
}

fn find_removable(
    conn: &Connection,
    before: u64,
    remembered: Remembered,
) -> rusqlite::Result<Vec<Uuid>> {
    let removable = removable(remembered);
    let sql = format!(
        "SELECT request_id FROM callbacks WHERE request_id < ?1 AND {removable}
         ORDER BY request_id LIMIT ?2"
    );
    let mut statement = conn.prepare(&sql)?;
    let bound = first_id(before);
    let found = statement.query_map(params![bound.as_bytes(), STEP], |row| id(row, 0))?;
    found.collect()
}

fn delete_callbacks(
    conn: &Connection,
    expired: &[Uuid],
    remembered: Remembered,
) -> rusqlite::Result<usize> {
    let removable = removable(remembered);
    // One may have been replayed since it was found.
    let sql = format!("DELETE FROM callbacks WHERE request_id = ?1 AND {removable}");
    let mut callback = conn.prepare(&sql)?;
    let mut attempts = conn.prepare_cached("DELETE FROM attempts WHERE request_id = ?1")?;
    let mut deleted = 0;
    for request_id in expired {
        if callback.execute([request_id.as_bytes()])? > 0 {
            attempts.execute([request_id.as_bytes()])?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

/// Discards dead letters and removes their bodies, and writes that to the audit log. Returns how
/// many were discarded, and how many bodies were removed: an operator may have discarded one.
fn discard(conn: &Connection, until: u64, now: u64) -> rusqlite::Result<(usize, usize)> {
    let mut select = conn.prepare_cached(
        "SELECT request_id, discarded FROM callbacks WHERE dead_letter_since <= ?1
         AND status <> 'delivered' ORDER BY dead_letter_since LIMIT ?2",
    )?;
    let found = select.query_map(params![bigint(until), STEP], |row| {
        Ok((id(row, 0)?, row.get(1)?))
    })?;
    let expired: Vec<(Uuid, bool)> = found.collect::<rusqlite::Result<_>>()?;
    let mut update = conn.prepare_cached(
        "UPDATE callbacks SET dead_letter = NULL, dead_letter_since = NULL, discarded = 1,
         retention_discarded_at = CASE WHEN discarded THEN retention_discarded_at ELSE ?2 END
         WHERE request_id = ?1",
    )?;
    for (request_id, _) in &expired {
        update.execute(params![request_id.as_bytes(), bigint(now)])?;
    }
    let discarded = expired.iter().filter(|(_, discarded)| !discarded).count();
    if discarded > 0 {
        let entry = retention_discards(discarded, now);
        audit::append_part(conn, &entry, &retention_operation(now))?;
    }
    Ok((discarded, expired.len()))
}

/// Removes messages of delivered callbacks. Returns how many.
fn erase_delivered(conn: &Connection, until: u64) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "UPDATE callbacks SET dead_letter = NULL, dead_letter_since = NULL
         WHERE request_id IN (
             SELECT request_id FROM callbacks WHERE dead_letter_since <= ?1
             AND status = 'delivered' ORDER BY dead_letter_since LIMIT ?2)",
    )?
    .execute(params![bigint(until), STEP])
}

fn delete_audits(conn: &Connection, until: u64) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM audit_log WHERE id IN (
         SELECT id FROM audit_log WHERE occurred_at <= ?1 ORDER BY occurred_at LIMIT ?2)",
    )?
    .execute(params![bigint(until), STEP])
}

fn delete_rollups(conn: &Connection, until: u64) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM rollups WHERE (kind, name, minute, shard) IN (
         SELECT kind, name, minute, shard FROM rollups WHERE minute < ?1 ORDER BY minute LIMIT ?2)",
    )?
    .execute(params![bigint(until), STEP])
}

fn delete_keys(conn: &Connection, until: i64) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM idempotency_keys WHERE (app_id, key) IN (
         SELECT app_id, key FROM idempotency_keys WHERE claimed_at <= ?1
         ORDER BY claimed_at LIMIT ?2)",
    )?
    .execute(params![until, STEP])
}

fn count_unfinished(conn: &Connection, before: u64) -> rusqlite::Result<u64> {
    conn.prepare_cached(
        "SELECT count(*) FROM (
             SELECT 1 FROM callbacks INDEXED BY callbacks_unfinished
             WHERE status IN ('queued', 'retrying') AND request_id < ?1 LIMIT ?2)",
    )?
    .query_row(
        params![first_id(before).as_bytes(), bigint(MAX_UNFINISHED_COUNTED)],
        |row| unsigned(row, 0),
    )
}
