//! Pauses in force.

use async_trait::async_trait;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension as _, Row, params};

use super::connection::SqliteJournal;
use super::row::unsigned;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{Pause, PauseKind};
use crate::store::PauseStore;

#[async_trait]
impl PauseStore for SqliteJournal {
    async fn pause(&self, pause: &Pause) -> JournalResult<bool> {
        let pause = pause.clone();
        let insert = move |conn: &Connection| {
            let inserted = conn
                .prepare_cached(
                    "INSERT INTO pauses (kind, name, paused_by, paused_at, reason)
                     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    pause.kind.as_str(),
                    pause.name,
                    pause.paused_by,
                    bigint(pause.paused_at),
                    pause.reason,
                ])?;
            Ok(inserted > 0)
        };
        self.writer.run(insert).await
    }

    async fn resume(&self, kind: PauseKind, name: &str) -> JournalResult<Option<Pause>> {
        let name = name.to_owned();
        let delete = move |conn: &Connection| {
            conn.prepare_cached(
                "DELETE FROM pauses WHERE kind = ?1 AND name = ?2
                 RETURNING kind, name, paused_by, paused_at, reason",
            )?
            .query_row([kind.as_str(), &name], pause)
            .optional()
        };
        self.writer.run(delete).await
    }

    async fn pauses(&self) -> JournalResult<Vec<Pause>> {
        let select = |conn: &Connection| {
            conn.prepare_cached(
                "SELECT kind, name, paused_by, paused_at, reason FROM pauses
                 ORDER BY paused_at, kind, name",
            )?
            .query_map([], pause)?
            .collect()
        };
        self.reader.run(select).await
    }
}

fn pause(row: &Row<'_>) -> rusqlite::Result<Pause> {
    let kind: String = row.get(0)?;
    let kind = kind
        .parse()
        .map_err(|reason: String| Error::FromSqlConversionFailure(0, Type::Text, reason.into()))?;
    Ok(Pause {
        kind,
        name: row.get(1)?,
        paused_by: row.get(2)?,
        paused_at: unsigned(row, 3)?,
        reason: row.get(4)?,
    })
}
