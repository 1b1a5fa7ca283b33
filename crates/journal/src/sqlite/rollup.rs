//! Rollups: adds what a batch changed, and reads the figures of a subject.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use async_trait::async_trait;
use rusqlite::{Connection, Row, Statement, ToSql, params, params_from_iter};

use super::connection::SqliteJournal;
use super::row::unsigned;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{RollupPoint, RollupQuery};
use crate::rollups::{
    FIGURE_COLUMNS, FIGURES, MinuteOfKind, RollupChange, RollupChanges, RollupKey, RollupKind,
    figures, needs_place, place,
};
use crate::store::RollupStore;

/// Adds the changes. Within the transaction of the batch.
pub(super) fn store(conn: &Connection, changes: RollupChanges) -> rusqlite::Result<()> {
    let rows = changes.into_rows();
    if rows.is_empty() {
        return Ok(());
    }
    let (mut left, mut new, mut taken) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let sql = update();
    let mut known = conn.prepare_cached(&sql)?;
    for (key, change) in rows {
        // Nearly always there is a row.
        if write(&mut known, &key, &change)? {
            continue;
        }
        if needs_place(&key) {
            let minute = (key.minute, key.kind);
            if let Entry::Vacant(place) = taken.entry(minute) {
                place.insert(names_of(conn, minute)?);
            }
            new.insert(key.clone());
        }
        left.insert(key, change);
    }
    let sql = upsert();
    let mut upsert = conn.prepare_cached(&sql)?;
    for (key, change) in place(left, &new, &taken) {
        write(&mut upsert, &key, &change)?;
    }
    Ok(())
}

/// Returns whether a row was written.
fn write(
    statement: &mut Statement<'_>,
    key: &RollupKey,
    change: &RollupChange,
) -> rusqlite::Result<bool> {
    let kind = key.kind.code();
    let key: [&dyn ToSql; 3] = [&kind, &key.name, &key.minute];
    let figures = change.iter().map(|figure| figure as &dyn ToSql);
    let written = statement.execute(params_from_iter(key.into_iter().chain(figures)))?;
    Ok(written > 0)
}

/// How many names have figures of their own in a minute.
fn names_of(conn: &Connection, (minute, kind): MinuteOfKind) -> rusqlite::Result<usize> {
    let mut count = conn.prepare_cached(
        "SELECT count(*) FROM rollups WHERE minute = ?1 AND kind = ?2 AND name <> 'other'",
    )?;
    let names: i64 = count.query_row(params![minute, kind.code()], |row| row.get(0))?;
    Ok(usize::try_from(names).unwrap_or(usize::MAX))
}

fn update() -> String {
    let sums = (4..)
        .zip(FIGURE_COLUMNS)
        .map(|(number, column)| format!("{column} = {column} + ?{number}"));
    let sums: Vec<String> = sums.collect();
    format!(
        "UPDATE rollups SET {} WHERE kind = ?1 AND name = ?2 AND minute = ?3 AND shard = 0",
        sums.join(", ")
    )
}

fn upsert() -> String {
    let mut sql = String::from("INSERT INTO rollups (kind, name, minute, shard");
    // Writing to a String cannot fail.
    for column in FIGURE_COLUMNS {
        let _ = write!(sql, ", {column}");
    }
    sql.push_str(") VALUES (?1, ?2, ?3, 0"); // One writer, so one shard.
    for number in 4..=3 + FIGURES {
        let _ = write!(sql, ", ?{number}");
    }
    sql.push_str(") ON CONFLICT (kind, name, minute, shard) DO UPDATE SET ");
    for (index, column) in FIGURE_COLUMNS.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let _ = write!(sql, "{separator}{column} = {column} + excluded.{column}");
    }
    sql
}

#[async_trait]
impl RollupStore for SqliteJournal {
    async fn rollup(&self, query: &RollupQuery) -> JournalResult<Vec<RollupPoint>> {
        let (kind, name) = RollupKind::of(&query.subject);
        let name = name.to_owned();
        let step = bigint(query.step.max(1));
        let (from, until) = (bigint(query.from), bigint(query.until));
        let sums = FIGURE_COLUMNS.map(|column| format!("sum({column})"));
        let sql = format!(
            "SELECT minute / ?5 * ?5, {} FROM rollups
             WHERE kind = ?1 AND name = ?2 AND minute >= ?3 AND minute < ?4
             GROUP BY 1 ORDER BY 1",
            sums.join(", ")
        );
        let select = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(&sql)?;
            let found =
                statement.query_map(params![kind.code(), name, from, until, step], point)?;
            found.collect()
        };
        self.lister.run(select).await
    }
}

fn point(row: &Row<'_>) -> rusqlite::Result<RollupPoint> {
    let mut columns = [0; FIGURES];
    for (index, column) in columns.iter_mut().enumerate() {
        *column = row.get(index + 1)?;
    }
    Ok(RollupPoint {
        at: unsigned(row, 0)?,
        figures: figures(columns),
    })
}
