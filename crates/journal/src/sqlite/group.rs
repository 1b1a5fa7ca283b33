//! Callbacks grouped by what they have in common.

use std::fmt::Write as _;

use async_trait::async_trait;
use contract::CallbackStatus;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::connection::SqliteJournal;
use super::filter::FilterSql;
use super::row;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{
    CallbackGroup, CallbackGroups, Filter, GroupBy, GroupColumns, GroupKey, MAX_GROUPS, key_sql,
};
use crate::store::GroupStore;

/// A column of the last attempt of the row `chosen`.
fn of_last(column: &str) -> String {
    format!(
        "(SELECT {column} FROM attempts WHERE attempts.request_id = chosen.request_id
          ORDER BY attempts.generation DESC, number DESC, started_at DESC LIMIT 1)"
    )
}

/// The parts of a filter, each by its index.
fn parts(filter: &Filter, now: u64) -> Vec<FilterSql> {
    let is_dead =
        |status: &CallbackStatus| matches!(status, CallbackStatus::Dead | CallbackStatus::Expired);
    let dead_alone = filter.status.is_none()
        && !filter.statuses.is_empty()
        && filter.statuses.iter().all(is_dead);
    match dead_alone && !filter.discarded {
        true => FilterSql::dead(filter),
        false => FilterSql::parts(filter, now),
    }
}

/// The whole statement and its values.
fn statement(filter: &Filter, by: GroupBy, now: u64) -> (String, Vec<Value>) {
    let order = if by.oldest_first() { "ASC" } else { "DESC" };
    let (mut chosen, mut values) = (String::new(), Vec::new());
    for part in parts(filter, now) {
        let union = if chosen.is_empty() { "" } else { " UNION ALL " };
        // Writing to a String cannot fail.
        let _ = write!(
            chosen,
            "{union}SELECT * FROM (SELECT request_id, status, reason, deferred_reason,
             next_attempt_at, target, accepted_at, updated_at FROM {} ORDER BY request_id {order} LIMIT ?)",
            part.sql()
        );
        values.extend(part.values);
        values.push(Value::Integer(i64::from(by.max_examined())));
    }
    let last = match by {
        GroupBy::LastAttempt => format!(
            ", {} AS last_outcome, {} AS last_http_status, {} AS last_cause",
            of_last("outcome"),
            of_last("http_status"),
            of_last("cause")
        ),
        GroupBy::Target | GroupBy::End | GroupBy::Hour | GroupBy::Wait => String::new(),
    };
    let (first, second, cause) = key_sql(by, "status", bigint(now));
    let sql = format!(
        "SELECT first_key, second_key, max(cause_text), count(DISTINCT cause_text), count(*),
                min(accepted_at), min(updated_at), max(updated_at), sum(count(*)) OVER ()
         FROM (SELECT {first} AS first_key, {second} AS second_key, {cause} AS cause_text,
                      accepted_at, updated_at
               FROM (SELECT chosen.*{last} FROM
                     (SELECT * FROM ({chosen}) ORDER BY request_id {order} LIMIT {}) AS chosen))
         GROUP BY 1, 2 ORDER BY 5 DESC, 1, 2 LIMIT {MAX_GROUPS}",
        by.max_examined()
    );
    (sql, values)
}

#[async_trait]
impl GroupStore for SqliteJournal {
    async fn groups(
        &self,
        filter: &Filter,
        by: GroupBy,
        now: u64,
    ) -> JournalResult<CallbackGroups> {
        let (sql, values) = statement(filter, by, now);
        let select = move |conn: &Connection| {
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut found = CallbackGroups {
                is_whole: true,
                ..CallbackGroups::default()
            };
            while let Some(row) = rows.next()? {
                found.examined = row::unsigned(row, 8)?;
                let columns = GroupColumns {
                    first: row.get(0)?,
                    second: row.get(1)?,
                    cause: row.get(2)?,
                    causes: row::unsigned(row, 3)?,
                };
                let Some(key) = GroupKey::of(by, columns) else {
                    continue;
                };
                found.groups.push(CallbackGroup {
                    key,
                    count: row::unsigned(row, 4)?,
                    oldest_accepted_at: row::unsigned(row, 5)?,
                    first_updated_at: row::unsigned(row, 6)?,
                    last_updated_at: row::unsigned(row, 7)?,
                });
            }
            found.is_whole = found.examined < u64::from(by.max_examined());
            Ok(found)
        };
        self.lister.run(select).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_number_of_rows_is_looked_at_by_an_index() {
        let filter = Filter {
            statuses: vec![CallbackStatus::Dead, CallbackStatus::Expired],
            ..Filter::default()
        };
        for by in [
            GroupBy::Target,
            GroupBy::End,
            GroupBy::LastAttempt,
            GroupBy::Hour,
        ] {
            let (sql, values) = statement(&filter, by, 7);
            let bound = Value::Integer(i64::from(by.max_examined()));
            assert_eq!(values.last(), Some(&bound), "{by:?}");
            assert!(sql.contains("INDEXED BY callbacks_dead"), "{sql}");
        }
    }
}
