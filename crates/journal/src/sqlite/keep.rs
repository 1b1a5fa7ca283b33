//! What is let go after its time, and what is written down for good?

use std::time::Duration;

use rusqlite::{Connection, params};
use uuid::Uuid;

use crate::journal::{Retained, Retention};
use crate::precedence::number;
use crate::replay::Audit;

use super::claim::KEPT;
use super::filter::first_id;
use super::read::{id, unsigned};

/// Rows of a kind that one step takes away, so that writers wait only a moment for it.
const MOST: u32 = 1_000;

pub(super) fn retain(
    connection: &Connection,
    retention: Retention,
    now: u64,
) -> rusqlite::Result<Retained> {
    let callbacks = old_callbacks(connection, before(now, retention.callbacks))?;
    let bodies = connection
        .prepare_cached(
            "UPDATE callbacks SET dead_letter = NULL WHERE request_id IN (
             SELECT request_id FROM callbacks
             WHERE status IN ('dead', 'expired') AND dead_letter IS NOT NULL AND at < ?1
             ORDER BY at LIMIT ?2)",
        )?
        .execute(params![number(before(now, retention.bodies)), MOST])?;
    let claims = connection
        .prepare_cached(
            "DELETE FROM claims WHERE (app_id, key) IN (
             SELECT app_id, key FROM claims WHERE claimed_at <= ?1 ORDER BY claimed_at LIMIT ?2)",
        )?
        .execute(params![number(now.saturating_sub(KEPT)), MOST])?;
    let [callbacks, bodies, claims] =
        [callbacks, bodies, claims].map(|rows| u64::try_from(rows).unwrap_or(u64::MAX));
    Ok(Retained {
        callbacks,
        bodies,
        claims,
        more: [callbacks, bodies, claims].contains(&u64::from(MOST)),
    })
}

fn before(now: u64, kept: Duration) -> u64 {
    now.saturating_sub(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX))
}

fn old_callbacks(connection: &Connection, before: u64) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(
        "SELECT request_id FROM callbacks
         WHERE request_id < ?1 AND status NOT IN ('queued', 'retrying')
         ORDER BY request_id LIMIT ?2",
    )?;
    let bound = first_id(before);
    let found = statement.query_map(params![bound.as_bytes(), MOST], |row| id(row, 0))?;
    let old: Vec<Uuid> = found.collect::<rusqlite::Result<_>>()?;
    for table in ["attempts", "callbacks"] {
        let sql = format!("DELETE FROM {table} WHERE request_id = ?1");
        let mut statement = connection.prepare_cached(&sql)?;
        for request_id in &old {
            statement.execute([request_id.as_bytes()])?;
        }
    }
    Ok(old.len())
}

pub(super) fn audit(connection: &Connection, audit: &Audit) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO audits (at, who, action, subject, reason, count)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            number(audit.at),
            audit.who,
            audit.action,
            audit.subject,
            audit.reason,
            number(audit.count),
        ])
        .map(drop)
}

pub(super) fn audits(connection: &Connection, limit: u32) -> rusqlite::Result<Vec<Audit>> {
    connection
        .prepare_cached(
            "SELECT at, who, action, subject, reason, count FROM audits
             ORDER BY number DESC LIMIT ?1",
        )?
        .query_map([limit], |row| {
            Ok(Audit {
                at: unsigned(row, 0)?,
                who: row.get(1)?,
                action: row.get(2)?,
                subject: row.get(3)?,
                reason: row.get(4)?,
                count: unsigned(row, 5)?,
            })
        })?
        .collect()
}
