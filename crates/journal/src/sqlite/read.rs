//! Reads callbacks, one by its id or a page.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::filter::{FilterSql, ListPart};
use super::row::{self, ATTEMPT_COLUMNS, COLUMNS};
use crate::error::JournalResult;
use crate::model::{Callback, CallbackPage, Cursor, Filter, IndexLook, MAX_PAGE, max_looked_at};
use crate::store::CallbackStore;

#[async_trait]
impl CallbackStore for SqliteJournal {
    async fn find(&self, request_id: Uuid) -> JournalResult<Option<Callback>> {
        let work = move |conn: &Connection| {
            let sql = format!("SELECT {COLUMNS} FROM callbacks WHERE request_id = ?1");
            let found = conn
                .prepare_cached(&sql)?
                .query_row([request_id.as_bytes()], row::callback)
                .optional()?;
            let Some(mut callback) = found else {
                return Ok(None);
            };
            let sql = format!(
                "SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE request_id = ?1
                 ORDER BY generation, number, started_at, run"
            );
            let mut statement = conn.prepare_cached(&sql)?;
            let attempts = statement.query_map([request_id.as_bytes()], row::attempt)?;
            callback.attempts = attempts.collect::<rusqlite::Result<_>>()?;
            Ok(Some(callback))
        };
        self.reader.run(work).await
    }

    /// Not while a replay has taken it.
    async fn message(&self, request_id: Uuid) -> JournalResult<Option<Bytes>> {
        let select = move |conn: &Connection| {
            conn.prepare_cached(
                "SELECT dead_letter FROM callbacks
                 WHERE request_id = ?1 AND replay_taken_at IS NULL",
            )?
            .query_row([request_id.as_bytes()], |row| row.get(0))
            .optional()
        };
        let found: Option<Option<Vec<u8>>> = self.reader.run(select).await?;
        Ok(found.flatten().map(Bytes::from))
    }

    async fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> JournalResult<Vec<Uuid>> {
        let select = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(
                "SELECT request_id FROM callbacks WHERE request_id BETWEEN ?1 AND ?2
                 ORDER BY request_id LIMIT ?3",
            )?;
            let limit = i64::from(limit.min(MAX_PAGE));
            let found = statement
                .query_map(params![first.as_bytes(), last.as_bytes(), limit], |row| {
                    row::id(row, 0)
                })?;
            found.collect()
        };
        self.lister.run(select).await
    }

    async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
        now: u64,
    ) -> JournalResult<CallbackPage> {
        let filter = filter.clone();
        let work = move |conn: &Connection| {
            let limit = limit.min(MAX_PAGE);
            let look = IndexLook {
                entries: max_looked_at(&filter, after),
                oldest_first: false,
            };
            let (parts, horizon) = farthest(conn, &filter, after, look, now)?;
            let mut callbacks: Vec<Callback> = Vec::new();
            for mut part in parts {
                if let Some(horizon) = horizon {
                    part.and("request_id >= ?", horizon);
                }
                // One more, to know whether there is a next page.
                part.whole.values.push(Value::Integer(i64::from(limit) + 1));
                let sql = format!(
                    "SELECT {COLUMNS} FROM {} ORDER BY request_id DESC LIMIT ?",
                    part.whole.sql()
                );
                let mut statement = conn.prepare_cached(&sql)?;
                let found =
                    statement.query_map(params_from_iter(part.whole.values), row::callback)?;
                for callback in found {
                    callbacks.push(callback?);
                }
            }
            callbacks.sort_by_key(|callback| std::cmp::Reverse(callback.origin.request_id));
            Ok(CallbackPage::of(callbacks, limit, horizon))
        };
        self.lister.run(work).await
    }

    async fn last_causes(&self, request_ids: &[Uuid]) -> JournalResult<HashMap<Uuid, String>> {
        let request_ids = request_ids.to_vec();
        let work = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(
                "SELECT cause FROM attempts WHERE request_id = ?1
                 ORDER BY generation DESC, number DESC, started_at DESC LIMIT 1",
            )?;
            let mut causes = HashMap::new();
            for request_id in request_ids {
                let found = statement.query_row([request_id.as_bytes()], |row| row.get(0));
                let found: Option<Option<String>> = found.optional()?;
                causes.extend(found.flatten().map(|cause| (request_id, cause)));
            }
            Ok(causes)
        };
        self.lister.run(work).await
    }

    async fn count(&self, filter: &Filter, now: u64) -> JournalResult<u64> {
        let filter = FilterSql::whole(filter, now);
        let select = move |conn: &Connection| {
            let sql = format!("SELECT count(*) FROM {}", filter.sql());
            let mut statement = conn.prepare_cached(&sql)?;
            statement.query_row(params_from_iter(filter.values), |row| row::unsigned(row, 0))
        };
        self.lister.run(select).await
    }
}

/// The index that reaches the farthest with so many entries, and the id at which the look ends; `None`: there are
/// not so many.
pub(super) fn farthest(
    conn: &Connection,
    filter: &Filter,
    after: Option<Cursor>,
    look: IndexLook,
    now: u64,
) -> rusqlite::Result<(Vec<ListPart>, Option<Uuid>)> {
    let order = if look.oldest_first { "ASC" } else { "DESC" };
    let farther = |one: Uuid, other: Uuid| match look.oldest_first {
        true => one > other,
        false => one < other,
    };
    let mut best: Option<(Vec<ListPart>, Uuid)> = None;
    for mut parts in FilterSql::leads(filter, now) {
        let mut horizon: Option<Uuid> = None;
        for part in &mut parts {
            if let Some(Cursor(after)) = after {
                part.and("request_id < ?", after);
            }
            let sql = format!(
                "SELECT request_id FROM {} ORDER BY request_id {order} LIMIT 1 OFFSET ?",
                part.lead.sql()
            );
            let mut values = part.lead.values.clone();
            values.push(Value::Integer(i64::from(look.entries.saturating_sub(1))));
            let mut statement = conn.prepare_cached(&sql)?;
            let end = statement
                .query_row(params_from_iter(values), |row| row::id(row, 0))
                .optional()?;
            horizon = match (horizon, end) {
                (Some(nearest), Some(end)) if farther(end, nearest) => Some(nearest),
                (nearest, end) => end.or(nearest),
            };
        }
        let Some(end) = horizon else {
            return Ok((parts, None));
        };
        if best.as_ref().is_none_or(|(_, other)| farther(end, *other)) {
            best = Some((parts, end));
        }
    }
    Ok(best.map_or((Vec::new(), None), |(parts, end)| (parts, Some(end))))
}
