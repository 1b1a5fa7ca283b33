//! Who is not to be called for now?

use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension as _, Row, params};

use crate::pause::{Pause, PauseKind};
use crate::precedence::number;

use super::read::unsigned;

pub(super) fn pause(connection: &Connection, pause: &Pause) -> rusqlite::Result<bool> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO pauses (kind, name, who, at, reason) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            pause.kind.as_str(),
            pause.name,
            pause.who,
            number(pause.at),
            pause.reason,
        ])?;
    Ok(inserted > 0)
}

pub(super) fn resume(
    connection: &Connection,
    kind: PauseKind,
    name: &str,
) -> rusqlite::Result<Option<Pause>> {
    connection
        .prepare_cached(
            "DELETE FROM pauses WHERE kind = ?1 AND name = ?2
             RETURNING kind, name, who, at, reason",
        )?
        .query_row(params![kind.as_str(), name], read)
        .optional()
}

pub(super) fn pauses(connection: &Connection) -> rusqlite::Result<Vec<Pause>> {
    connection
        .prepare_cached("SELECT kind, name, who, at, reason FROM pauses ORDER BY at, kind, name")?
        .query_map([], read)?
        .collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Pause> {
    let kind: String = row.get(0)?;
    let kind = kind
        .parse()
        .map_err(|reason: String| Error::FromSqlConversionFailure(0, Type::Text, reason.into()))?;
    Ok(Pause {
        kind,
        name: row.get(1)?,
        who: row.get(2)?,
        at: unsigned(row, 3)?,
        reason: row.get(4)?,
    })
}
