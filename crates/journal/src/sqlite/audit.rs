//! The audit log.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::connection::SqliteJournal;
use super::row::unsigned;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{AuditCursor, AuditEntry, AuditPage, MAX_PAGE};
use crate::store::AuditStore;

#[async_trait]
impl AuditStore for SqliteJournal {
    async fn append_audit(&self, entry: &AuditEntry) -> JournalResult<()> {
        let entry = entry.clone();
        let insert = move |conn: &Connection| {
            conn.prepare_cached(
                "INSERT INTO audit_log (occurred_at, actor, action, subject, reason, count)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                bigint(entry.occurred_at),
                entry.actor,
                entry.action,
                entry.subject,
                entry.reason,
                bigint(entry.count),
            ])
            .map(drop)
        };
        self.writer.run(insert).await
    }

    async fn audit_log(&self, after: Option<AuditCursor>, limit: u32) -> JournalResult<AuditPage> {
        let select = move |conn: &Connection| {
            let limit = limit.min(MAX_PAGE);
            let (occurred_at, id) = after.map_or((i64::MAX, i64::MAX), |after| {
                (bigint(after.occurred_at), bigint(after.id))
            });
            let mut statement = conn.prepare_cached(
                "SELECT id, occurred_at, actor, action, subject, reason, count FROM audit_log
                 WHERE (occurred_at, id) < (?1, ?2)
                 ORDER BY occurred_at DESC, id DESC LIMIT ?3",
            )?;
            // One more, to know whether there is a next page.
            let found = statement
                .query_map(params![occurred_at, id, i64::from(limit) + 1], |row| {
                    Ok((cursor(row)?, entry(row)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
            let more = found.len() > wanted;
            let (cursors, entries): (Vec<_>, Vec<_>) = found.into_iter().take(wanted).unzip();
            Ok(AuditPage {
                entries,
                next: cursors.last().copied().filter(|_| more),
            })
        };
        self.lister.run(select).await
    }
}

fn cursor(row: &Row<'_>) -> rusqlite::Result<AuditCursor> {
    Ok(AuditCursor {
        id: unsigned(row, 0)?,
        occurred_at: unsigned(row, 1)?,
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        occurred_at: unsigned(row, 1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        reason: row.get(5)?,
        count: unsigned(row, 6)?,
    })
}
