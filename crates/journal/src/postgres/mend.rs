//! How are dead letters taken, each by one hand alone, and put back to work or out of sight?

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{Error, PgPool, Postgres, QueryBuilder, Row as _, Transaction};
use uuid::Uuid;

use super::filter::push_all;
use super::row::{self, code};
use crate::callback::Status;
use crate::precedence::{number, replayed as rank_of_replay};
use crate::query::Filter;
use crate::replay::{Mended, Replay};

/// Given up. The numbers stand in the text, for the partial index.
const DEAD: &str = "status IN (3, 4)";
/// Still to be seen.
const SEEN: &str = "NOT discarded";
/// Still to be seen, and with its body. Not `IS NOT NULL`: the planner would count it as one more
/// rarity, think that hardly anything is left, and sort all of it.
const REPLAYABLE: &str = "NOT discarded AND octet_length(dead_letter) >= 0";
const _: () = assert!(code(Status::Dead) == 3 && code(Status::Expired) == 4);

/// Every wish about the life before is gone with it. The body stays until the replay is published.
const NEXT_LIFE: &str = "
UPDATE callbacks SET generation = $2, weight = $3, at = $4, tie = $5, status = $6, reason = NULL,
    waiting_for = NULL, next_attempt_at = NULL, cancel_requested = false, withdrawn_at = NULL,
    body_since = NULL, replay_taken_at = $4
WHERE request_id = ANY($1)";

pub(super) async fn take_replays(
    pool: &PgPool,
    filter: &Filter,
    limit: u32,
    now: u64,
) -> Result<Vec<Replay>, Error> {
    let mut transaction = pool.begin().await?;
    let columns = "request_id, generation, dead_letter";
    let mut sql = dead_ones(columns, REPLAYABLE, filter, limit, now);
    let rows = sql.build().fetch_all(&mut *transaction).await?;
    let mut taken = rows.iter().map(replay).collect::<Result<Vec<_>, _>>()?;
    for replay in &mut taken {
        replay.generation = replay.generation.saturating_add(1);
    }
    bring_back(&mut transaction, &taken, now).await?;
    transaction.commit().await?;
    Ok(taken)
}

pub(super) async fn take_replay(pool: &PgPool, id: Uuid, now: u64) -> Result<Mended, Error> {
    let mut transaction = pool.begin().await?;
    let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
    sql.push(DEAD).push(" AND ").push(REPLAYABLE);
    sql.push(" IS TRUE AS replayable, request_id, generation, dead_letter");
    sql.push(" FROM callbacks WHERE request_id = ")
        .push_bind(id);
    sql.push(" FOR UPDATE");
    let Some(found) = sql.build().fetch_optional(&mut *transaction).await? else {
        return Ok(Mended::Unknown);
    };
    if !found.try_get::<bool, _>("replayable")? {
        return Ok(Mended::NotDead);
    }
    let mut replay = replay(&found)?;
    replay.generation = replay.generation.saturating_add(1);
    bring_back(&mut transaction, std::slice::from_ref(&replay), now).await?;
    transaction.commit().await?;
    Ok(Mended::Replay(replay))
}

/// Oldest first. Another hand's rows are passed over, so that hands share the work.
fn dead_ones(
    columns: &str,
    which: &str,
    filter: &Filter,
    limit: u32,
    now: u64,
) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("SELECT ");
    sql.push(columns).push(" FROM callbacks WHERE ").push(which);
    // Nothing else has a reason. Said twice, the planner would take it to be far rarer than it is.
    let says_so = match filter.status {
        Some(Status::Dead | Status::Expired) => true,
        Some(_) => false,
        None => filter.reason.is_some(),
    };
    if !says_so {
        sql.push(" AND ").push(DEAD);
    }
    sql.push(" AND ");
    push_all(&mut sql, filter, now);
    sql.push(" ORDER BY request_id LIMIT ");
    sql.push_bind(i64::from(limit));
    sql.push(" FOR UPDATE SKIP LOCKED");
    sql
}

/// By generations, which are few.
async fn bring_back(
    transaction: &mut Transaction<'_, Postgres>,
    taken: &[Replay],
    now: u64,
) -> Result<(), Error> {
    let mut generations: Vec<u32> = taken.iter().map(|replay| replay.generation).collect();
    generations.sort_unstable();
    generations.dedup();
    for generation in generations {
        let of_it = taken
            .iter()
            .filter(|replay| replay.generation == generation);
        let ids: Vec<Uuid> = of_it.map(|replay| replay.request_id).collect();
        let rank = rank_of_replay(generation, now);
        sqlx::query(NEXT_LIFE)
            .bind(ids)
            .bind(rank.generation)
            .bind(rank.weight)
            .bind(rank.at)
            .bind(rank.tie)
            .bind(code(Status::Queued))
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

pub(super) async fn unfinished(
    pool: &PgPool,
    before: u64,
    limit: u32,
    now: u64,
) -> Result<Vec<Replay>, Error> {
    let mut transaction = pool.begin().await?;
    let rows = sqlx::query(
        "SELECT request_id, generation, dead_letter FROM callbacks \
         WHERE replay_taken_at < $1 AND dead_letter IS NOT NULL \
         ORDER BY replay_taken_at LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(number(before))
    .bind(i64::from(limit))
    .fetch_all(&mut *transaction)
    .await?;
    let taken = rows.iter().map(replay).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<Uuid> = taken.iter().map(|replay| replay.request_id).collect();
    sqlx::query("UPDATE callbacks SET replay_taken_at = $2 WHERE request_id = ANY($1)")
        .bind(ids)
        .bind(number(now))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(taken)
}

/// One that has gone on since keeps what it has become.
pub(super) async fn replayed(pool: &PgPool, done: &[(Uuid, u32)]) -> Result<(), Error> {
    let ids: Vec<Uuid> = done.iter().map(|(id, _)| *id).collect();
    let mut transaction = pool.begin().await?;
    let rows = sqlx::query(
        "SELECT request_id, generation FROM callbacks \
         WHERE request_id = ANY($1) AND replay_taken_at IS NOT NULL \
         ORDER BY request_id FOR UPDATE",
    )
    .bind(ids)
    .fetch_all(&mut *transaction)
    .await?;
    let mut published: Vec<Uuid> = Vec::new();
    for row in &rows {
        let found = (
            row.try_get("request_id")?,
            row::unsigned(row, "generation")?,
        );
        if done.contains(&found) {
            published.push(found.0);
        }
    }
    sqlx::query(
        "UPDATE callbacks SET replay_taken_at = NULL, dead_letter = NULL \
         WHERE request_id = ANY($1)",
    )
    .bind(published)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

pub(super) async fn discard(
    pool: &PgPool,
    filter: &Filter,
    limit: u32,
    now: u64,
) -> Result<u64, Error> {
    let mut transaction = pool.begin().await?;
    let mut sql = dead_ones("request_id", SEEN, filter, limit, now);
    let ids: Vec<Uuid> = sql
        .build_query_scalar()
        .fetch_all(&mut *transaction)
        .await?;
    let discarded = put_out_of_sight(&mut transaction, ids).await?;
    transaction.commit().await?;
    Ok(discarded)
}

pub(super) async fn discard_one(pool: &PgPool, id: Uuid) -> Result<bool, Error> {
    let mut transaction = pool.begin().await?;
    let discarded = put_out_of_sight(&mut transaction, vec![id]).await?;
    transaction.commit().await?;
    Ok(discarded == 1)
}

async fn put_out_of_sight(
    transaction: &mut Transaction<'_, Postgres>,
    ids: Vec<Uuid>,
) -> Result<u64, Error> {
    let mut sql: QueryBuilder<Postgres> =
        QueryBuilder::new("UPDATE callbacks SET discarded = true WHERE request_id = ANY(");
    sql.push_bind(ids).push(") AND ").push(DEAD);
    sql.push(" AND ").push(SEEN);
    let done = sql.build().execute(&mut **transaction).await?;
    Ok(done.rows_affected())
}

fn replay(row: &PgRow) -> Result<Replay, Error> {
    let body: Vec<u8> = row.try_get("dead_letter")?;
    Ok(Replay {
        request_id: row.try_get("request_id")?,
        generation: row::unsigned(row, "generation")?,
        dead_letter: Bytes::from(body),
    })
}
