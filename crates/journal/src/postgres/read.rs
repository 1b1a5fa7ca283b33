//! Reads callbacks, one by its id or a page: in a few milliseconds among millions.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::filter::{push_all, push_conditions, statuses};
use super::row::{self, ATTEMPT_COLUMNS, COLUMNS};
use crate::error::JournalResult;
use crate::model::{Callback, CallbackPage, Cursor, Filter, MAX_PAGE};
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
        self.run(async {
            let limit = limit.min(MAX_PAGE);
            let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
            // One more, to know whether there is a next page.
            let mut sql = page_sql(filter, after, limit + 1, now);
            let rows = sql.build().fetch_all(&self.pool).await?;
            let found = rows.iter().take(wanted).map(row::callback);
            let callbacks = found.collect::<Result<Vec<_>, _>>()?;
            let last = callbacks.last().filter(|_| rows.len() > wanted);
            let next = last.map(|callback| Cursor(callback.origin.request_id));
            Ok(CallbackPage { callbacks, next })
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
        let count: i64 = self.run(query).await?;
        Ok(count.cast_unsigned())
    }
}

/// The newest rows of one index scan for each status: within an index, ids are in order only within
/// one status.
fn page_sql(
    filter: &Filter,
    after: Option<Cursor>,
    limit: u32,
    now: u64,
) -> QueryBuilder<Postgres> {
    let scans = match statuses(filter) {
        none if none.is_empty() => vec![None],
        some => some.into_iter().map(Some).collect(),
    };
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
        if let Some(Cursor(id)) = after {
            sql.push(" AND request_id < ").push_bind(id);
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
