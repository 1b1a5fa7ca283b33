//! Retention: removes what is past its retention, in small steps.

use async_trait::async_trait;
use contract::duration_ms;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::row::id;
use crate::column::{bigint, first_id};
use crate::error::JournalResult;
use crate::model::{KEY_TTL_MS, Retention, RetentionProgress};
use crate::store::RetentionStore;

/// Rows of each kind in one step: writers wait for it.
const STEP: u32 = 1_000;

#[async_trait]
impl RetentionStore for SqliteJournal {
    async fn apply_retention(
        &self,
        retention: Retention,
        now: u64,
    ) -> JournalResult<RetentionProgress> {
        let work = move |conn: &Connection| {
            let before = |kept| now.saturating_sub(duration_ms(kept));
            let callbacks = delete_callbacks(conn, before(retention.callbacks))?;
            let bodies = delete_bodies(conn, before(retention.bodies))?;
            let keys = delete_keys(conn, now.saturating_sub(KEY_TTL_MS))?;
            let [callbacks, bodies, idempotency_keys] =
                [callbacks, bodies, keys].map(|rows| u64::try_from(rows).unwrap_or(u64::MAX));
            Ok(RetentionProgress {
                callbacks,
                bodies,
                idempotency_keys,
                more: [callbacks, bodies, idempotency_keys].contains(&u64::from(STEP)),
            })
        };
        self.writer.run(work).await
    }
}

fn delete_callbacks(conn: &Connection, before: u64) -> rusqlite::Result<usize> {
    let mut statement = conn.prepare_cached(
        "SELECT request_id FROM callbacks
         WHERE request_id < ?1 AND status NOT IN ('queued', 'retrying')
         ORDER BY request_id LIMIT ?2",
    )?;
    let bound = first_id(before);
    let found = statement.query_map(params![bound.as_bytes(), STEP], |row| id(row, 0))?;
    let expired: Vec<Uuid> = found.collect::<rusqlite::Result<_>>()?;
    for table in ["attempts", "callbacks"] {
        let sql = format!("DELETE FROM {table} WHERE request_id = ?1");
        let mut statement = conn.prepare_cached(&sql)?;
        for request_id in &expired {
            statement.execute([request_id.as_bytes()])?;
        }
    }
    Ok(expired.len())
}

fn delete_bodies(conn: &Connection, until: u64) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "UPDATE callbacks SET dead_letter = NULL, dead_letter_since = NULL
         WHERE request_id IN (
             SELECT request_id FROM callbacks WHERE dead_letter_since <= ?1
             ORDER BY dead_letter_since LIMIT ?2)",
    )?
    .execute(params![bigint(until), STEP])
}

fn delete_keys(conn: &Connection, until: u64) -> rusqlite::Result<usize> {
    conn.prepare_cached(
        "DELETE FROM idempotency_keys WHERE (app_id, key) IN (
         SELECT app_id, key FROM idempotency_keys WHERE claimed_at <= ?1
         ORDER BY claimed_at LIMIT ?2)",
    )?
    .execute(params![bigint(until), STEP])
}
