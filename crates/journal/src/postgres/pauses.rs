//! Who is not to be called for now?

use sqlx::postgres::PgRow;
use sqlx::{Error, PgPool, Row as _};

use super::row::unsigned;
use super::write::clean;
use crate::pause::{Pause, PauseKind};
use crate::precedence::number;

pub(super) async fn pause(pool: &PgPool, pause: &Pause) -> Result<bool, Error> {
    let done = sqlx::query(
        "INSERT INTO pauses (kind, name, who, at, reason) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT DO NOTHING",
    )
    .bind(pause.kind.as_str())
    .bind(clean(&pause.name))
    .bind(clean(&pause.who))
    .bind(number(pause.at))
    .bind(clean(&pause.reason))
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn resume(
    pool: &PgPool,
    kind: PauseKind,
    name: &str,
) -> Result<Option<Pause>, Error> {
    let row = sqlx::query(
        "DELETE FROM pauses WHERE kind = $1 AND name = $2 RETURNING kind, name, who, at, reason",
    )
    .bind(kind.as_str())
    .bind(clean(name))
    .fetch_optional(pool)
    .await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn pauses(pool: &PgPool) -> Result<Vec<Pause>, Error> {
    let rows =
        sqlx::query("SELECT kind, name, who, at, reason FROM pauses ORDER BY at, kind, name")
            .fetch_all(pool)
            .await?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<Pause, Error> {
    let kind: &str = row.try_get("kind")?;
    Ok(Pause {
        kind: kind
            .parse()
            .map_err(|reason: String| Error::Decode(reason.into()))?,
        name: row.try_get("name")?,
        who: row.try_get("who")?,
        at: unsigned(row, "at")?,
        reason: row.try_get("reason")?,
    })
}
