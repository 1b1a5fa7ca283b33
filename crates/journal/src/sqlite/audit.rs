//! The audit log.

use async_trait::async_trait;
use rusqlite::{Connection, Row, params};

use super::connection::SqliteJournal;
use super::row::unsigned;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{
    AuditCursor, AuditEntry, AuditPage, MAX_AUDIT_SUBJECT, MAX_PAGE, StoredAuditEntry,
};
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

    async fn append_audit_part(&self, entry: &AuditEntry, operation: &str) -> JournalResult<()> {
        let (entry, operation) = (entry.clone(), operation.to_string());
        let work = move |conn: &Connection| append_part(conn, &entry, &operation);
        self.writer.run(work).await
    }

    async fn audit_log(&self, after: Option<AuditCursor>, limit: u32) -> JournalResult<AuditPage> {
        let select = move |conn: &Connection| {
            let limit = limit.min(MAX_PAGE);
            let (occurred_at, id) = after.map_or((i64::MAX, i64::MAX), |after| {
                (bigint(after.occurred_at), bigint(after.id))
            });
            let mut statement = conn.prepare_cached(
                "SELECT id, occurred_at, actor, action, subject, reason, count,
                 coalesce(updated_at, occurred_at) FROM audit_log
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

const PART: &str = "
    INSERT INTO audit_log
        (occurred_at, updated_at, actor, action, subject, reason, count, operation)
    VALUES (?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (operation, actor, action, reason) WHERE operation IS NOT NULL DO UPDATE SET
        count = count + excluded.count,
        updated_at = max(updated_at, excluded.updated_at),
        subject = CASE subject WHEN excluded.subject THEN subject
            ELSE substr(subject || '; ' || excluded.subject, 1, ?8) END";

/// Adds an entry to that of its operation.
pub(super) fn append_part(
    conn: &Connection,
    entry: &AuditEntry,
    operation: &str,
) -> rusqlite::Result<()> {
    conn.prepare_cached(PART)?
        .execute(params![
            bigint(entry.occurred_at),
            entry.actor,
            entry.action,
            entry.subject,
            entry.reason,
            bigint(entry.count),
            operation,
            i64::try_from(MAX_AUDIT_SUBJECT).unwrap_or(i64::MAX),
        ])
        .map(drop)
}

fn cursor(row: &Row<'_>) -> rusqlite::Result<AuditCursor> {
    Ok(AuditCursor {
        id: unsigned(row, 0)?,
        occurred_at: unsigned(row, 1)?,
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<StoredAuditEntry> {
    let entry = AuditEntry {
        occurred_at: unsigned(row, 1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        reason: row.get(5)?,
        count: unsigned(row, 6)?,
    };
    let updated_at = unsigned(row, 7)?;
    Ok(StoredAuditEntry { entry, updated_at })
}
