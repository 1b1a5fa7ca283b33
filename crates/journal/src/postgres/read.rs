//! Reads callbacks, one by its id or a page: in a few milliseconds among millions.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use contract::CallbackStatus;
use sqlx::{PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::filter::{leads, push_all, push_conditions, push_lead, push_range, statuses};
use super::row::{self, ATTEMPT_COLUMNS, COLUMNS};
use crate::error::JournalResult;
use crate::model::{Callback, CallbackPage, Cursor, Filter, IndexLook, MAX_PAGE, max_looked_at};
use crate::store::CallbackStore;

#[async_trait]
impl CallbackStore for PostgresJournal {
    async fn find(&self, request_id: Uuid) -> JournalResult<Option<Callback>> {
        self.run(async {
            let mut connection = self.pool.acquire().await?;
            let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
            sql.push(COLUMNS)
                .push(" FROM callbacks WHERE request_id = ")
                .push_bind(request_id);
            let found = sql.build().fetch_optional(&mut *connection).await?;
            let Some(found) = found else {
                return Ok(None);
            };
            let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT ");
            sql.push(ATTEMPT_COLUMNS)
                .push(" FROM attempts WHERE request_id = ")
                .push_bind(request_id)
                .push(" ORDER BY generation, number, started_at, run");
            let attempts = sql.build().fetch_all(&mut *connection).await?;
            let mut callback = row::callback(&found)?;
            callback.attempts = attempts
                .iter()
                .map(row::attempt)
                .collect::<Result<_, _>>()?;
            Ok(Some(callback))
        })
        .await
    }

    /// Not while a replay has taken it.
    async fn message(&self, request_id: Uuid) -> JournalResult<Option<Bytes>> {
        let query = sqlx::query_scalar(
            "SELECT dead_letter FROM callbacks WHERE request_id = $1 AND replay_taken_at IS NULL",
        )
        .bind(request_id);
        let found: Option<Option<Vec<u8>>> = self.run(query.fetch_optional(&self.pool)).await?;
        Ok(found.flatten().map(Bytes::from))
    }

    async fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> JournalResult<Vec<Uuid>> {
        let query = sqlx::query_scalar(
            "SELECT request_id FROM callbacks WHERE request_id BETWEEN $1 AND $2
             ORDER BY request_id LIMIT $3",
        )
        .bind(first)
        .bind(last)
        .bind(i64::from(limit.min(MAX_PAGE)));
        self.run(query.fetch_all(&self.pool)).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
        now: u64,
    ) -> JournalResult<CallbackPage> {
        self.look(async {
            let limit = limit.min(MAX_PAGE);
            let mut connection = self.pool.acquire().await?;
            let look = IndexLook {
                entries: max_looked_at(filter, after),
                oldest_first: false,
            };
            let horizon = horizon(&mut connection, filter, after, look).await?;
            // One more, to know whether there is a next page.
            let mut sql = page_sql(filter, after, horizon, limit + 1, now);
            let rows = sql.build().fetch_all(&mut *connection).await?;
            let found = rows.iter().map(row::callback);
            let found = found.collect::<Result<Vec<_>, _>>()?;
            Ok(CallbackPage::of(found, limit, horizon))
        })
        .await
    }

    async fn last_causes(&self, request_ids: &[Uuid]) -> JournalResult<HashMap<Uuid, String>> {
        let query = sqlx::query_as(
            "SELECT DISTINCT ON (request_id) request_id, cause FROM attempts
             WHERE request_id = ANY($1)
             ORDER BY request_id, generation DESC, number DESC, started_at DESC",
        )
        .bind(request_ids);
        let found: Vec<(Uuid, Option<String>)> = self.run(query.fetch_all(&self.pool)).await?;
        let causes = found.into_iter();
        Ok(causes
            .filter_map(|(request_id, cause)| Some((request_id, cause?)))
            .collect())
    }

    async fn count(&self, filter: &Filter, now: u64) -> JournalResult<u64> {
        let mut sql = QueryBuilder::new("SELECT count(*) FROM callbacks WHERE ");
        push_all(&mut sql, filter, now);
        let query = sql.build_query_scalar().fetch_one(&self.pool);
        let count: i64 = self.look(query).await?;
        Ok(count.cast_unsigned())
    }
}

/// The statuses that are looked for one by one; `None`: in one look, whatever the status. Within an index, ids are in
/// order only within one status.
pub(super) fn scans(filter: &Filter) -> Vec<Option<CallbackStatus>> {
    match statuses(filter) {
        none if none.is_empty() => vec![None],
        some => some.into_iter().map(Some).collect(),
    }
}

/// The id at which a look ends; `None`: there are not so many entries. Of several indexes, that which reaches the
/// farthest counts.
pub(super) async fn horizon(
    connection: &mut PgConnection,
    filter: &Filter,
    after: Option<Cursor>,
    look: IndexLook,
) -> Result<Option<Uuid>, sqlx::Error> {
    // In this order the first of several ends is the nearest.
    let order = if look.oldest_first { "ASC" } else { "DESC" };
    let mut farthest: Option<Uuid> = None;
    for lead in leads(filter) {
        let mut sql = QueryBuilder::new("SELECT request_id FROM (");
        for (number, status) in scans(filter).into_iter().enumerate() {
            sql.push(if number == 0 { "(" } else { " UNION ALL (" });
            sql.push("SELECT request_id FROM callbacks WHERE ");
            push_lead(&mut sql, filter, lead, status);
            push_range(&mut sql, filter, after);
            sql.push(format_args!(" ORDER BY request_id {order} LIMIT 1 OFFSET "))
                .push_bind(i64::from(look.entries.saturating_sub(1)))
                .push(")");
        }
        sql.push(format_args!(
            ") AS ends ORDER BY request_id {order} LIMIT 1"
        ));
        let query = sql.build_query_scalar();
        let Some(end) = query.fetch_optional(&mut *connection).await? else {
            return Ok(None);
        };
        farthest = Some(farthest.map_or(end, |other| match look.oldest_first {
            true => other.max(end),
            false => other.min(end),
        }));
    }
    Ok(farthest)
}

/// The newest rows of one index scan for each status, from the horizon on.
fn page_sql(
    filter: &Filter,
    after: Option<Cursor>,
    horizon: Option<Uuid>,
    limit: u32,
    now: u64,
) -> QueryBuilder<Postgres> {
    let scans = scans(filter);
    let mut sql = QueryBuilder::new("");
    for (number, status) in scans.iter().enumerate() {
        sql.push(if number == 0 { "(" } else { " UNION ALL (" });
        sql.push("SELECT ")
            .push(COLUMNS)
            .push(" FROM callbacks WHERE ");
        push_conditions(&mut sql, filter, now);
        if let Some(status) = status {
            sql.push(" AND status = ").push(row::code(*status));
        }
        push_range(&mut sql, filter, after);
        if let Some(horizon) = horizon {
            sql.push(" AND request_id >= ").push_bind(horizon);
        }
        sql.push(" ORDER BY request_id DESC LIMIT ")
            .push_bind(i64::from(limit))
            .push(")");
    }
    if scans.len() > 1 {
        sql.push(" ORDER BY request_id DESC LIMIT ")
            .push_bind(i64::from(limit));
    }
    sql
}
