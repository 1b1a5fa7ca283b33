//! What is unfinished for one callee or target, and in which state.

use async_trait::async_trait;
use contract::CallbackStatus;
use sqlx::Row as _;

use super::connection::PostgresJournal;
use super::row::{code, status, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{UnfinishedStates, Waiting, WaitingDestination};
use crate::store::WaitingStore;

#[async_trait]
impl WaitingStore for PostgresJournal {
    async fn waiting(
        &self,
        destination: &WaitingDestination,
        limit: u32,
    ) -> JournalResult<Waiting> {
        let (condition, name) = match destination {
            WaitingDestination::Callee(no) => ("callee_no = $1", no),
            WaitingDestination::Target(target) => ("target = $1 AND callee_no IS NULL", target),
        };
        // Each status is a range of one index, in the order of acceptance. `status <> 2` is the
        // condition of that index.
        let part = |status: CallbackStatus| {
            let status = code(status);
            format!(
                "(SELECT accepted_at, next_attempt_at FROM callbacks \
                 WHERE {condition} AND status = {status} AND status <> 2 \
                 ORDER BY request_id LIMIT $2)"
            )
        };
        let sql = format!(
            "SELECT count(*) AS count, min(accepted_at) AS oldest, min(next_attempt_at) AS next \
             FROM ({} UNION ALL {}) AS unfinished",
            part(CallbackStatus::Queued),
            part(CallbackStatus::Retrying)
        );
        // Composed of the program's own words.
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(name)
            .bind(i64::from(limit));
        self.run(async {
            let row = query.fetch_one(&self.pool).await?;
            let unsigned = |column: &str| -> Result<Option<u64>, sqlx::Error> {
                let value: Option<i64> = row.try_get(column)?;
                Ok(value.and_then(|value| u64::try_from(value).ok()))
            };
            let count = unsigned("count")?.unwrap_or(0);
            Ok(Waiting {
                count: count.min(u64::from(limit)),
                oldest_accepted_at: unsigned("oldest")?,
                next_attempt_at: unsigned("next")?.filter(|_| count < u64::from(limit)),
            })
        })
        .await
    }

    async fn unfinished_states(&self, now: u64, limit: u32) -> JournalResult<UnfinishedStates> {
        // Each status is a range of one index, as above.
        let part = |status: CallbackStatus| {
            let status = code(status);
            format!(
                "(SELECT status, next_attempt_at, deferred_reason FROM callbacks \
                 WHERE status = {status} AND status <> 2 ORDER BY request_id LIMIT $2)"
            )
        };
        let sql = format!(
            "SELECT status, coalesce(next_attempt_at > $1, false) AS later, deferred_reason, \
             count(*) AS count FROM ({} UNION ALL {}) AS unfinished GROUP BY 1, 2, 3",
            part(CallbackStatus::Queued),
            part(CallbackStatus::Retrying)
        );
        // Composed of the program's own words.
        let query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(bigint(now))
            .bind(i64::from(limit));
        self.run(async {
            let mut states = UnfinishedStates::default();
            for row in query.fetch_all(&self.pool).await? {
                let (later, reason) = (row.try_get("later")?, row.try_get("deferred_reason")?);
                states.add(status(&row)?, later, reason, unsigned(&row, "count")?);
            }
            Ok(states)
        })
        .await
    }
}
