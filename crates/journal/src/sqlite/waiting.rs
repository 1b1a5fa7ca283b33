//! What is unfinished for one callee or target, and in which state.

use async_trait::async_trait;
use rusqlite::{Connection, params};

use super::connection::SqliteJournal;
use super::row;
use crate::error::JournalResult;
use crate::model::{UnfinishedStates, Waiting, WaitingDestination};
use crate::store::WaitingStore;

#[async_trait]
impl WaitingStore for SqliteJournal {
    async fn waiting(
        &self,
        destination: &WaitingDestination,
        limit: u32,
    ) -> JournalResult<Waiting> {
        let (condition, name) = match destination {
            WaitingDestination::Callee(no) => ("callee_no = ?1", no.clone()),
            WaitingDestination::Target(target) => {
                ("target = ?1 AND callee_no IS NULL", target.clone())
            }
        };
        // Both statuses are ranges of one index, in the order of acceptance.
        let part = |status: &str| {
            format!(
                "SELECT * FROM (SELECT accepted_at, next_attempt_at FROM callbacks
                 WHERE {condition} AND status = '{status}' ORDER BY request_id LIMIT ?2)"
            )
        };
        let sql = format!(
            "SELECT count(*), min(accepted_at), min(next_attempt_at)
             FROM ({} UNION ALL {})",
            part("queued"),
            part("retrying")
        );
        let select = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(&sql)?;
            statement.query_row(params![name, i64::from(limit)], |found| {
                let optional = |index| -> rusqlite::Result<Option<u64>> {
                    let value: Option<i64> = found.get(index)?;
                    Ok(value.and_then(|value| u64::try_from(value).ok()))
                };
                let count = row::unsigned(found, 0)?;
                Ok(Waiting {
                    count: count.min(u64::from(limit)),
                    oldest_accepted_at: optional(1)?,
                    next_attempt_at: optional(2)?.filter(|_| count < u64::from(limit)),
                })
            })
        };
        self.lister.run(select).await
    }

    async fn unfinished_states(&self, now: u64, limit: u32) -> JournalResult<UnfinishedStates> {
        // All of them are the range of one index, in the order of acceptance.
        let sql = "SELECT status, coalesce(next_attempt_at > ?1, 0), deferred_reason, count(*)
             FROM (
                SELECT status, next_attempt_at, deferred_reason FROM callbacks
                WHERE status IN ('queued', 'retrying') ORDER BY request_id LIMIT ?2
             ) GROUP BY 1, 2, 3";
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let select = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![now, i64::from(limit)])?;
            let mut states = UnfinishedStates::default();
            while let Some(found) = rows.next()? {
                let (later, reason) = (found.get(1)?, found.get(2)?);
                states.add(
                    row::status(found, 0)?,
                    later,
                    reason,
                    row::unsigned(found, 3)?,
                );
            }
            Ok(states)
        };
        self.lister.run(select).await
    }
}
