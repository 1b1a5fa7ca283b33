//! How are callbacks read, one by its id or a page of many, in a few milliseconds among millions?

use std::collections::HashMap;

use sqlx::{Error, PgPool, Postgres, QueryBuilder, Row as _};
use uuid::Uuid;

use super::filter::{push_all, push_conditions, statuses};
use super::row::{self, COLUMNS};
use crate::callback::{Callback, Status};
use crate::fate::Fate;
use crate::precedence::number;
use crate::query::{Cursor, Filter, Page};

/// No page is longer, whatever was asked.
const LONGEST_PAGE: u32 = 1000;
/// No dispatcher needs to know more withdrawn callbacks at once.
const MOST_WITHDRAWN: i64 = 100_000;

pub(super) async fn find(pool: &PgPool, request_id: Uuid) -> Result<Option<Callback>, Error> {
    let mut connection = pool.acquire().await?;
    let mut callback: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
    callback
        .push(COLUMNS)
        .push(" FROM callbacks WHERE request_id = ");
    callback.push_bind(request_id);
    let found = callback.build().fetch_optional(&mut *connection).await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let attempts = sqlx::query(
        "SELECT generation, number, run, started_at, duration_ms, outcome, http_status, detail \
         FROM attempts WHERE request_id = $1 ORDER BY generation, number, started_at, run",
    )
    .bind(request_id)
    .fetch_all(&mut *connection)
    .await?;
    let mut callback = row::callback(&found)?;
    callback.attempts = attempts
        .iter()
        .map(row::attempt)
        .collect::<Result<_, _>>()?;
    Ok(Some(callback))
}

pub(super) async fn list(
    pool: &PgPool,
    filter: &Filter,
    after: Option<Cursor>,
    limit: u32,
    now: u64,
) -> Result<Page, Error> {
    let limit = limit.min(LONGEST_PAGE);
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    // One more, to know whether there is a next page.
    let mut sql = page_sql(filter, after, limit + 1, now);
    let rows = sql.build().fetch_all(pool).await?;
    let found = rows.iter().take(wanted).map(row::callback);
    let callbacks = found.collect::<Result<Vec<_>, _>>()?;
    let last = callbacks.last().filter(|_| rows.len() > wanted);
    let next = last.map(|callback| Cursor(callback.origin.request_id));
    Ok(Page { callbacks, next })
}

/// One walk for each status, as an index is in the order of ids within one status alone; newest
/// first, and the newest of all of them.
fn page_sql(
    filter: &Filter,
    after: Option<Cursor>,
    limit: u32,
    now: u64,
) -> QueryBuilder<Postgres> {
    let walks = match statuses(filter) {
        none if none.is_empty() => vec![None],
        some => some.into_iter().map(Some).collect(),
    };
    let mut sql = QueryBuilder::new("");
    for (number, walk) in walks.iter().enumerate() {
        sql.push(if number == 0 { "(" } else { " UNION ALL (" });
        sql.push("SELECT ")
            .push(COLUMNS)
            .push(" FROM callbacks WHERE ");
        push_conditions(&mut sql, filter, now);
        if let Some(status) = walk {
            sql.push(" AND status = ").push(row::code(*status));
        }
        if let Some(Cursor(id)) = after {
            sql.push(" AND request_id < ").push_bind(id);
        }
        sql.push(" ORDER BY request_id DESC LIMIT ")
            .push_bind(i64::from(limit))
            .push(")");
    }
    if walks.len() > 1 {
        sql.push(" ORDER BY request_id DESC LIMIT ")
            .push_bind(i64::from(limit));
    }
    sql
}

pub(super) async fn count(pool: &PgPool, filter: &Filter, now: u64) -> Result<u64, Error> {
    let mut sql = QueryBuilder::new("SELECT count(*) FROM callbacks WHERE ");
    push_all(&mut sql, filter, now);
    let count: i64 = sql.build_query_scalar().fetch_one(pool).await?;
    Ok(count.cast_unsigned())
}

pub(super) async fn fates(
    pool: &PgPool,
    request_ids: &[Uuid],
) -> Result<HashMap<Uuid, Fate>, Error> {
    let rows = sqlx::query(
        "SELECT request_id, generation, status, cancel_requested, discarded FROM callbacks \
         WHERE request_id = ANY($1)",
    )
    .bind(request_ids)
    .fetch_all(pool)
    .await?;
    rows.iter().map(row::fate).collect()
}

pub(super) async fn cancelled_since(pool: &PgPool, since: u64) -> Result<Vec<Uuid>, Error> {
    sqlx::query_scalar(
        "SELECT request_id FROM callbacks WHERE withdrawn_at >= $1 \
         ORDER BY withdrawn_at DESC LIMIT $2",
    )
    .bind(number(since))
    .bind(MOST_WITHDRAWN)
    .fetch_all(pool)
    .await
}

/// The body of a callback that is dead; not that of one which a replay has taken.
pub(super) async fn dead_letter(pool: &PgPool, id: Uuid) -> Result<Option<Vec<u8>>, Error> {
    let dead = [row::code(Status::Dead), row::code(Status::Expired)];
    let found =
        sqlx::query("SELECT dead_letter FROM callbacks WHERE request_id = $1 AND status = ANY($2)")
            .bind(id)
            .bind(&dead[..])
            .fetch_optional(pool)
            .await?;
    found.map_or(Ok(None), |row| row.try_get("dead_letter"))
}
