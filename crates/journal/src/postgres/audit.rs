//! The audit log.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Error, Executor, Postgres, Row as _};

use super::connection::PostgresJournal;
use super::row::{storable, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{
    AuditCursor, AuditEntry, AuditPage, MAX_AUDIT_SUBJECT, MAX_PAGE, StoredAuditEntry,
};
use crate::store::AuditStore;

#[async_trait]
impl AuditStore for PostgresJournal {
    async fn append_audit(&self, entry: &AuditEntry) -> JournalResult<()> {
        let insert = sqlx::query(
            "INSERT INTO audit_log (occurred_at, actor, action, subject, reason, count) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(bigint(entry.occurred_at))
        .bind(storable(&entry.actor))
        .bind(storable(&entry.action))
        .bind(storable(&entry.subject))
        .bind(storable(&entry.reason))
        .bind(bigint(entry.count));
        self.run(insert.execute(&self.pool)).await?;
        Ok(())
    }

    async fn append_audit_part(&self, entry: &AuditEntry, operation: &str) -> JournalResult<()> {
        self.run(append_part(&self.pool, entry, operation)).await
    }

    async fn audit_log(&self, after: Option<AuditCursor>, limit: u32) -> JournalResult<AuditPage> {
        let query = async {
            let limit = limit.min(MAX_PAGE);
            let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
            let (occurred_at, id) = after.map_or((i64::MAX, i64::MAX), |after| {
                (bigint(after.occurred_at), bigint(after.id))
            });
            // One more, to know whether there is a next page.
            let rows = sqlx::query(
                "SELECT id, occurred_at, actor, action, subject, reason, count, \
                 coalesce(updated_at, occurred_at) AS updated_at FROM audit_log \
                 WHERE (occurred_at, id) < ($1, $2) \
                 ORDER BY occurred_at DESC, id DESC LIMIT $3",
            )
            .bind(occurred_at)
            .bind(id)
            .bind(i64::from(limit) + 1)
            .fetch_all(&self.pool)
            .await?;
            let more = rows.len() > wanted;
            let rows = rows.get(..wanted).unwrap_or(&rows);
            let last = rows.last().filter(|_| more);
            Ok(AuditPage {
                entries: rows.iter().map(entry).collect::<Result<_, _>>()?,
                next: last.map(cursor).transpose()?,
            })
        };
        self.run(query).await
    }
}

const PART: &str = "
INSERT INTO audit_log AS old
    (occurred_at, updated_at, actor, action, subject, reason, count, operation)
VALUES ($1, $1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (operation, actor, action, reason) WHERE operation IS NOT NULL DO UPDATE SET
    count = old.count + excluded.count,
    updated_at = greatest(old.updated_at, excluded.updated_at),
    subject = CASE WHEN old.subject = excluded.subject THEN old.subject
        ELSE left(old.subject || '; ' || excluded.subject, $8) END";

/// Adds an entry to that of its operation.
pub(super) async fn append_part<'a>(
    connection: impl Executor<'a, Database = Postgres>,
    entry: &AuditEntry,
    operation: &str,
) -> Result<(), Error> {
    let insert = sqlx::query(PART)
        .bind(bigint(entry.occurred_at))
        .bind(storable(&entry.actor))
        .bind(storable(&entry.action))
        .bind(storable(&entry.subject))
        .bind(storable(&entry.reason))
        .bind(bigint(entry.count))
        .bind(operation)
        .bind(i32::try_from(MAX_AUDIT_SUBJECT).unwrap_or(i32::MAX));
    insert.execute(connection).await.map(drop)
}

fn cursor(row: &PgRow) -> Result<AuditCursor, Error> {
    Ok(AuditCursor {
        occurred_at: unsigned(row, "occurred_at")?,
        id: unsigned(row, "id")?,
    })
}

fn entry(row: &PgRow) -> Result<StoredAuditEntry, Error> {
    let entry = AuditEntry {
        occurred_at: unsigned(row, "occurred_at")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        reason: row.try_get("reason")?,
        count: unsigned(row, "count")?,
    };
    let updated_at = unsigned(row, "updated_at")?;
    Ok(StoredAuditEntry { entry, updated_at })
}
