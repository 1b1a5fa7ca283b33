//! The unfinished callbacks of each app, which the triggers of `schema_4.sql` count.

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{Error, PgPool, Row as _};

use super::connection::PostgresJournal;
use crate::error::JournalResult;
use crate::model::{AppCount, UnfinishedCounts};
use crate::store::CountStore;

/// The advisory lock of the one process that removes rows.
const LOCK: i64 = i64::from_be_bytes(*b"RingIdle");
/// Apps in one step of [`remove_idle`].
const STEP: usize = 1_000;
/// A bound on the steps of one call.
const MAX_STEPS: usize = 100;

/// One snapshot: the sum over all shards is right in any, and is not in two.
const UNFINISHED: &str = "
SELECT app_id, unfinished, waiting,
    sum(unfinished) OVER ()::bigint AS total, sum(waiting) OVER ()::bigint AS total_waiting
FROM (
    SELECT app_id, sum(unfinished)::bigint AS unfinished, sum(waiting)::bigint AS waiting
    FROM app_counts GROUP BY app_id HAVING sum(unfinished) > 0
) AS apps
ORDER BY unfinished DESC, app_id LIMIT $1";

#[async_trait]
impl CountStore for PostgresJournal {
    async fn unfinished(&self, limit: u32) -> JournalResult<UnfinishedCounts> {
        // One row at least, for the totals.
        let query = sqlx::query(UNFINISHED).bind(i64::from(limit.max(1)));
        self.run(async {
            let rows = query.fetch_all(&self.pool).await?;
            let mut counts = UnfinishedCounts::default();
            if let Some(row) = rows.first() {
                counts.total = count(row, "total")?;
                counts.waiting = count(row, "total_waiting")?;
            }
            let apps = rows
                .iter()
                .take(usize::try_from(limit).unwrap_or(usize::MAX));
            counts.apps = apps.map(app).collect::<Result<_, _>>()?;
            Ok(counts)
        })
        .await
    }
}

fn app(row: &PgRow) -> Result<AppCount, Error> {
    Ok(AppCount {
        app_id: row.try_get("app_id")?,
        unfinished: count(row, "unfinished")?,
        waiting: count(row, "waiting")?,
    })
}

/// Not negative in any snapshot.
fn count(row: &PgRow, column: &str) -> Result<u64, Error> {
    let count: i64 = row.try_get(column)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Removes the rows of apps that have nothing unfinished.
pub(super) async fn remove_idle(pool: &PgPool) -> Result<(), Error> {
    for _ in 0..MAX_STEPS {
        if remove_some(pool).await? < STEP {
            break;
        }
    }
    Ok(())
}

/// Returns how many idle apps it found. What a transaction holds is left for the next time, so this
/// waits for none. A row may have changed since its app was found idle: what was in the rows goes
/// back.
async fn remove_some(pool: &PgPool) -> Result<usize, Error> {
    let mut transaction = pool.begin().await?;
    let first: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut *transaction)
        .await?;
    if !first {
        return Ok(0);
    }
    let idle: Vec<String> = sqlx::query_scalar(
        "SELECT app_id FROM app_counts GROUP BY app_id \
         HAVING sum(unfinished) = 0 AND sum(waiting) = 0 LIMIT $1",
    )
    .bind(i64::try_from(STEP).unwrap_or(i64::MAX))
    .fetch_all(&mut *transaction)
    .await?;
    if idle.is_empty() {
        return Ok(0);
    }
    let removed = sqlx::query(
        "DELETE FROM app_counts WHERE ctid = ANY(ARRAY( \
         SELECT ctid FROM app_counts WHERE app_id = ANY($1) FOR UPDATE SKIP LOCKED)) \
         RETURNING app_id, unfinished, waiting",
    )
    .bind(&idle)
    .fetch_all(&mut *transaction)
    .await?;
    let (mut apps, mut unfinished, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for row in &removed {
        apps.push(row.try_get::<String, _>("app_id")?);
        unfinished.push(row.try_get::<i64, _>("unfinished")?);
        waiting.push(row.try_get::<i64, _>("waiting")?);
    }
    sqlx::query(
        "INSERT INTO app_counts AS old (app_id, shard, unfinished, waiting) \
         SELECT app_id, app_counts_shard(), sum(unfinished), sum(waiting) \
         FROM unnest($1::text[], $2::bigint[], $3::bigint[]) \
             AS removed (app_id, unfinished, waiting) \
         GROUP BY app_id HAVING sum(unfinished) <> 0 OR sum(waiting) <> 0 \
         ON CONFLICT (app_id, shard) DO UPDATE SET \
             unfinished = old.unfinished + excluded.unfinished, \
             waiting = old.waiting + excluded.waiting",
    )
    .bind(apps)
    .bind(unfinished)
    .bind(waiting)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(idle.len())
}
