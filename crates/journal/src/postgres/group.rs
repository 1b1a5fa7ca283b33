//! Callbacks grouped by what they have in common.

use async_trait::async_trait;
use contract::CallbackStatus;
use sqlx::{Postgres, QueryBuilder, Row as _};
use uuid::Uuid;

use super::connection::PostgresJournal;
use super::filter::{push_conditions, push_range};
use super::read::{horizon, scans};
use super::row::{code, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{
    CallbackGroup, CallbackGroups, Filter, GroupBy, GroupColumns, GroupKey, GroupLook, IndexLook,
    MAX_GROUPS, accepted_at, key_sql,
};
use crate::store::GroupStore;

/// The last attempt of the row `chosen`.
const LAST: &str = " LEFT JOIN LATERAL (SELECT outcome AS last_outcome, \
    http_status AS last_http_status, cause AS last_cause FROM attempts \
    WHERE attempts.request_id = chosen.request_id \
    ORDER BY attempts.generation DESC, attempts.number DESC, attempts.started_at DESC LIMIT 1) \
    AS last ON true";

/// The name of the stored status.
fn status_name() -> String {
    let all = CallbackStatus::ALL
        .into_iter()
        .filter(|status| *status != CallbackStatus::Delivering);
    let whens: Vec<String> = all
        .map(|status| format!("WHEN {} THEN '{}'", code(status), status.as_str()))
        .collect();
    format!("CASE status {} END", whens.join(" "))
}

/// The whole statement, which looks at nothing beyond the horizon.
fn statement(
    filter: &Filter,
    by: GroupBy,
    (limit, horizon): (u32, Option<Uuid>),
    now: u64,
) -> QueryBuilder<Postgres> {
    let (order, within) = match by.oldest_first() {
        true => ("ASC", "<="),
        false => ("DESC", ">="),
    };
    let (first, second, cause) = key_sql(by, &status_name(), bigint(now));
    // Counting what differs sorts all rows.
    let causes = match by {
        GroupBy::LastAttempt => "max(cause_text) AS cause, count(DISTINCT cause_text) AS causes",
        GroupBy::Target | GroupBy::End | GroupBy::Hour | GroupBy::Wait => {
            "NULL::text AS cause, 0::bigint AS causes"
        }
    };
    let mut sql: QueryBuilder<Postgres> = QueryBuilder::new("SELECT first_key, second_key, ");
    sql.push(causes);
    sql.push(
        ", count(*) AS count, min(accepted_at) AS oldest, \
         min(updated_at) AS first_updated, max(updated_at) AS last_updated, \
         (sum(count(*)) OVER ())::bigint AS examined FROM (SELECT ",
    );
    sql.push(format_args!(
        "{first}::text AS first_key, {second}::text AS second_key, {cause}::text AS cause_text, \
         accepted_at, updated_at FROM ("
    ));
    for (number, status) in scans(filter).iter().enumerate() {
        sql.push(if number == 0 { "(" } else { " UNION ALL (" });
        sql.push(
            "SELECT request_id, status, reason, deferred_reason, next_attempt_at, target, \
             accepted_at, updated_at FROM callbacks WHERE ",
        );
        push_conditions(&mut sql, filter, now);
        if let Some(status) = status {
            sql.push(format_args!(" AND status = {}", code(*status)));
            if *status != CallbackStatus::Delivered {
                // The condition of the indexes by status.
                sql.push(" AND status <> 2");
            }
        }
        push_range(&mut sql, filter, None);
        if let Some(horizon) = horizon {
            sql.push(format_args!(" AND request_id {within} "))
                .push_bind(horizon);
        }
        sql.push(format_args!(" ORDER BY request_id {order} LIMIT {limit})"));
    }
    // No more than the limit of each scan: the horizon would not tell what another limit cuts off.
    sql.push(") AS chosen");
    if by == GroupBy::LastAttempt {
        sql.push(LAST);
    }
    sql.push(format_args!(
        ") AS keyed GROUP BY first_key, second_key \
         ORDER BY count DESC, first_key, second_key LIMIT {MAX_GROUPS}"
    ));
    sql
}

#[async_trait]
impl GroupStore for PostgresJournal {
    async fn groups(
        &self,
        filter: &Filter,
        by: GroupBy,
        look: GroupLook,
        now: u64,
    ) -> JournalResult<CallbackGroups> {
        self.look(async {
            let mut connection = self.pool.acquire().await?;
            let limit = by.max_examined(look);
            let lookup = IndexLook {
                entries: limit,
                oldest_first: by.oldest_first(),
            };
            let horizon = horizon(&mut connection, filter, None, lookup).await?;
            let mut sql = statement(filter, by, (limit, horizon), now);
            let rows = sql.build().fetch_all(&mut *connection).await?;
            let mut found = CallbackGroups::default();
            for row in &rows {
                found.examined = unsigned(row, "examined")?;
                let columns = GroupColumns {
                    first: row.try_get("first_key")?,
                    second: row.try_get("second_key")?,
                    cause: row.try_get("cause")?,
                    causes: unsigned(row, "causes")?,
                };
                let Some(key) = GroupKey::of(by, columns) else {
                    continue;
                };
                found.groups.push(CallbackGroup {
                    key,
                    count: unsigned(row, "count")?,
                    oldest_accepted_at: unsigned(row, "oldest")?,
                    first_updated_at: unsigned(row, "first_updated")?,
                    last_updated_at: unsigned(row, "last_updated")?,
                });
            }
            found.looked_to = horizon.map(accepted_at);
            Ok(found)
        })
        .await
    }
}
