//! Pauses in force.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Error, Row as _};

use super::connection::PostgresJournal;
use super::row::{storable, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{Pause, PauseKind};
use crate::store::PauseStore;

#[async_trait]
impl PauseStore for PostgresJournal {
    async fn pause(&self, pause: &Pause) -> JournalResult<bool> {
        let insert = sqlx::query(
            "INSERT INTO pauses (kind, name, paused_by, paused_at, reason) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        )
        .bind(pause.kind.as_str())
        .bind(storable(&pause.name))
        .bind(storable(&pause.paused_by))
        .bind(bigint(pause.paused_at))
        .bind(storable(&pause.reason));
        let inserted = self.run(insert.execute(&self.pool)).await?;
        Ok(inserted.rows_affected() > 0)
    }

    async fn resume(&self, kind: PauseKind, name: &str) -> JournalResult<Option<Pause>> {
        let query = async {
            let row = sqlx::query(
                "DELETE FROM pauses WHERE kind = $1 AND name = $2 \
                 RETURNING kind, name, paused_by, paused_at, reason",
            )
            .bind(kind.as_str())
            .bind(storable(name))
            .fetch_optional(&self.pool)
            .await?;
            row.as_ref().map(pause).transpose()
        };
        self.run(query).await
    }

    async fn pauses(&self) -> JournalResult<Vec<Pause>> {
        let query = async {
            let rows = sqlx::query(
                "SELECT kind, name, paused_by, paused_at, reason FROM pauses \
                 ORDER BY paused_at, kind, name",
            )
            .fetch_all(&self.pool)
            .await?;
            rows.iter().map(pause).collect()
        };
        self.run(query).await
    }
}

fn pause(row: &PgRow) -> Result<Pause, Error> {
    let kind: &str = row.try_get("kind")?;
    Ok(Pause {
        kind: kind
            .parse()
            .map_err(|reason: String| Error::Decode(reason.into()))?,
        name: row.try_get("name")?,
        paused_by: row.try_get("paused_by")?,
        paused_at: unsigned(row, "paused_at")?,
        reason: row.try_get("reason")?,
    })
}
