//! Rollups: adds what a batch changed, and reads the figures of a subject.
//!
//! The rows of a minute are shared by all writers, and by each callback with a delay that ingress stores.
//! Each transaction adds to those of its own shard (`schema_4.sql`), in the order of their keys, so that
//! none waits for another one but for new names, which one transaction at a time gives places to.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Error, Postgres, Row as _, Transaction};

use super::connection::PostgresJournal;
use super::row::{storable, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{MAX_ROLLUP_NAMES, RollupPoint, RollupQuery};
use crate::rollups::{
    FIGURE_COLUMNS, FIGURES, MinuteOfKind, RollupChange, RollupChanges, RollupKey, RollupKind,
    figures, needs_place, place,
};
use crate::store::RollupStore;

/// The advisory lock of the one transaction that gives places to new names.
const LOCK: i64 = i64::from_be_bytes(*b"RingRoll");

/// Which of these rows there are, by their places in the list.
const KNOWN: &str = "
SELECT place FROM unnest($1::bigint[], $2::smallint[], $3::text[])
    WITH ORDINALITY AS wanted (minute, kind, name, place)
WHERE EXISTS (SELECT FROM rollups WHERE rollups.kind = wanted.kind
    AND rollups.name = wanted.name AND rollups.minute = wanted.minute)";

/// How many names have figures of their own in these minutes, in the order of the list.
const TAKEN: &str = "
SELECT (SELECT count(DISTINCT name) FROM rollups WHERE rollups.minute = wanted.minute
    AND rollups.kind = wanted.kind AND name <> 'other') AS taken
FROM unnest($1::bigint[], $2::smallint[]) WITH ORDINALITY AS wanted (minute, kind, place)
ORDER BY place";

/// Adds the changes: the last statements of the transaction of a batch.
pub(super) async fn store(
    transaction: &mut Transaction<'_, Postgres>,
    changes: RollupChanges,
) -> Result<(), Error> {
    let rows = changes.into_rows();
    if rows.is_empty() {
        return Ok(());
    }
    let wanted: BTreeSet<&RollupKey> = rows.keys().filter(|key| needs_place(key)).collect();
    let mut new = unknown(transaction, wanted).await?;
    let mut taken = taken_places(transaction, &new).await?;
    // In a full minute there is nothing to give: names without a place wait for nobody.
    if taken.values().any(|names| *names < MAX_ROLLUP_NAMES) {
        sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(LOCK)
            .execute(&mut **transaction)
            .await?;
        // Another transaction may have given them a place in the meantime.
        let still: BTreeSet<&RollupKey> = new.iter().collect();
        new = unknown(transaction, still).await?;
        taken = taken_places(transaction, &new).await?;
    }
    upsert(transaction, place(rows, &new, &taken)).await
}

/// Those of these keys that have no row.
async fn unknown(
    transaction: &mut Transaction<'_, Postgres>,
    wanted: BTreeSet<&RollupKey>,
) -> Result<BTreeSet<RollupKey>, Error> {
    if wanted.is_empty() {
        return Ok(BTreeSet::new());
    }
    let minutes: Vec<i64> = wanted.iter().map(|key| key.minute).collect();
    let kinds: Vec<i16> = wanted.iter().map(|key| key.kind.code()).collect();
    let names: Vec<&str> = wanted.iter().map(|key| &*key.name).collect();
    let known: Vec<i64> = sqlx::query_scalar(KNOWN)
        .bind(minutes)
        .bind(kinds)
        .bind(names)
        .fetch_all(&mut **transaction)
        .await?;
    let known: BTreeSet<i64> = known.into_iter().collect();
    let unknown = (1..)
        .zip(wanted)
        .filter(|(place, _)| !known.contains(place));
    Ok(unknown.map(|(_, key)| key.clone()).collect())
}

async fn taken_places(
    transaction: &mut Transaction<'_, Postgres>,
    new: &BTreeSet<RollupKey>,
) -> Result<BTreeMap<MinuteOfKind, usize>, Error> {
    if new.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wanted: BTreeSet<MinuteOfKind> = new.iter().map(|key| (key.minute, key.kind)).collect();
    let minutes: Vec<i64> = wanted.iter().map(|(minute, _)| *minute).collect();
    let kinds: Vec<i16> = wanted.iter().map(|(_, kind)| kind.code()).collect();
    let taken: Vec<i64> = sqlx::query_scalar(TAKEN)
        .bind(minutes)
        .bind(kinds)
        .fetch_all(&mut **transaction)
        .await?;
    let counts = taken
        .into_iter()
        .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
    Ok(wanted.into_iter().zip(counts).collect())
}

async fn upsert(
    transaction: &mut Transaction<'_, Postgres>,
    rows: BTreeMap<RollupKey, RollupChange>,
) -> Result<(), Error> {
    let columns = FIGURE_COLUMNS.join(", ");
    let arrays: Vec<String> = (4..4 + FIGURES)
        .map(|number| format!("${number}::bigint[]"))
        .collect();
    let sums = FIGURE_COLUMNS.map(|column| format!("{column} = old.{column} + excluded.{column}"));
    let sql = format!(
        "INSERT INTO rollups AS old (shard, minute, kind, name, {columns}) \
         SELECT (SELECT app_counts_shard()), * \
         FROM unnest($1::bigint[], $2::smallint[], $3::text[], {}) \
         ON CONFLICT (kind, name, minute, shard) DO UPDATE SET {}",
        arrays.join(", "),
        sums.join(", ")
    );
    let minutes: Vec<i64> = rows.keys().map(|key| key.minute).collect();
    let kinds: Vec<i16> = rows.keys().map(|key| key.kind.code()).collect();
    let names: Vec<&str> = rows.keys().map(|key| &*key.name).collect();
    // Composed of the program's own words.
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(minutes)
        .bind(kinds)
        .bind(names);
    for figure in 0..FIGURES {
        let column: Vec<i64> = rows
            .values()
            .map(|change| change.get(figure).copied().unwrap_or(0))
            .collect();
        query = query.bind(column);
    }
    query.execute(&mut **transaction).await.map(drop)
}

#[async_trait]
impl RollupStore for PostgresJournal {
    async fn rollup(&self, query: &RollupQuery) -> JournalResult<Vec<RollupPoint>> {
        let (kind, name) = RollupKind::of(&query.subject);
        let sums = FIGURE_COLUMNS.map(|column| format!("sum({column})::bigint AS {column}"));
        let sql = format!(
            "SELECT minute / $5 * $5 AS step_begins, {} FROM rollups \
             WHERE kind = $1 AND name = $2 AND minute >= $3 AND minute < $4 \
             GROUP BY step_begins ORDER BY step_begins",
            sums.join(", ")
        );
        // Composed of the program's own words.
        let select = sqlx::query(AssertSqlSafe(sql))
            .bind(kind.code())
            .bind(storable(name))
            .bind(bigint(query.from))
            .bind(bigint(query.until))
            .bind(bigint(query.step.max(1)));
        self.run(async {
            let rows = select.fetch_all(&self.pool).await?;
            rows.iter().map(point).collect()
        })
        .await
    }
}

fn point(row: &PgRow) -> Result<RollupPoint, Error> {
    let mut columns = [0; FIGURES];
    for (column, name) in columns.iter_mut().zip(FIGURE_COLUMNS) {
        *column = row.try_get(name)?;
    }
    Ok(RollupPoint {
        at: unsigned(row, "step_begins")?,
        figures: figures(columns),
    })
}
