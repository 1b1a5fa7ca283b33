//! Who did what, and when?

use sqlx::postgres::PgRow;
use sqlx::{Error, PgPool, Row as _};

use super::row::unsigned;
use super::write::clean;
use crate::precedence::number;
use crate::replay::Audit;

pub(super) async fn audit(pool: &PgPool, audit: &Audit) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audits (at, who, action, subject, reason, count) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(number(audit.at))
    .bind(clean(&audit.who))
    .bind(clean(&audit.action))
    .bind(clean(&audit.subject))
    .bind(clean(&audit.reason))
    .bind(number(audit.count))
    .execute(pool)
    .await?;
    Ok(())
}

pub(super) async fn audits(pool: &PgPool, limit: u32) -> Result<Vec<Audit>, Error> {
    let rows = sqlx::query(
        "SELECT at, who, action, subject, reason, count FROM audits \
         ORDER BY at DESC, id DESC LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?;
    rows.iter().map(entry).collect()
}

fn entry(row: &PgRow) -> Result<Audit, Error> {
    Ok(Audit {
        at: unsigned(row, "at")?,
        who: row.try_get("who")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        reason: row.try_get("reason")?,
        count: unsigned(row, "count")?,
    })
}
