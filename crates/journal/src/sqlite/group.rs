//! Callbacks grouped by what they have in common.

use std::fmt::Write as _;

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::filter::ListPart;
use super::read::farthest;
use super::row;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::model::{
    CallbackGroup, CallbackGroups, Filter, GroupBy, GroupColumns, GroupKey, GroupLook, IndexLook,
    MAX_GROUPS, accepted_at, key_sql,
};
use crate::store::GroupStore;

/// A column of the last attempt of the row `chosen`.
fn of_last(column: &str) -> String {
    format!(
        "(SELECT {column} FROM attempts WHERE attempts.request_id = chosen.request_id
          ORDER BY attempts.generation DESC, number DESC, started_at DESC LIMIT 1)"
    )
}

/// The whole statement and its values: it looks at nothing beyond the horizon.
fn statement(
    parts: Vec<ListPart>,
    by: GroupBy,
    (limit, horizon): (u32, Option<Uuid>),
    now: u64,
) -> (String, Vec<Value>) {
    let (order, within) = match by.oldest_first() {
        true => ("ASC", "request_id <= ?"),
        false => ("DESC", "request_id >= ?"),
    };
    let (mut chosen, mut values) = (String::new(), Vec::new());
    for mut part in parts {
        if let Some(horizon) = horizon {
            part.and(within, horizon);
        }
        let union = if chosen.is_empty() { "" } else { " UNION ALL " };
        // Writing to a String cannot fail.
        let _ = write!(
            chosen,
            "{union}SELECT * FROM (SELECT request_id, status, reason, deferred_reason,
             next_attempt_at, target, accepted_at, updated_at FROM {} ORDER BY request_id {order} LIMIT ?)",
            part.whole.sql()
        );
        values.extend(part.whole.values);
        values.push(Value::Integer(i64::from(limit)));
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
    // Counting what differs sorts all rows.
    let causes = match by {
        GroupBy::LastAttempt => "count(DISTINCT cause_text)",
        GroupBy::Target | GroupBy::End | GroupBy::Hour | GroupBy::Wait => "0",
    };
    let sql = format!(
        "SELECT first_key, second_key, max(cause_text), {causes}, count(*),
                min(accepted_at), min(updated_at), max(updated_at), sum(count(*)) OVER ()
         FROM (SELECT {first} AS first_key, {second} AS second_key, {cause} AS cause_text,
                      accepted_at, updated_at
               FROM (SELECT chosen.*{last} FROM ({chosen}) AS chosen))
         GROUP BY 1, 2 ORDER BY 5 DESC, 1, 2 LIMIT {MAX_GROUPS}"
    );
    (sql, values)
}

#[async_trait]
impl GroupStore for SqliteJournal {
    async fn groups(
        &self,
        filter: &Filter,
        by: GroupBy,
        look: GroupLook,
        now: u64,
    ) -> JournalResult<CallbackGroups> {
        let filter = filter.clone();
        let select = move |conn: &Connection| {
            let limit = by.max_examined(look);
            let look = IndexLook {
                entries: limit,
                oldest_first: by.oldest_first(),
            };
            let (parts, horizon) = farthest(conn, &filter, None, look, now)?;
            let (sql, values) = statement(parts, by, (limit, horizon), now);
            let mut statement = conn.prepare_cached(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut found = CallbackGroups {
                looked_to: horizon.map(accepted_at),
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
            Ok(found)
        };
        self.lister.run(select).await
    }
}

#[cfg(test)]
mod tests {
    use contract::CallbackStatus;

    use super::*;
    use crate::sqlite::filter::FilterSql;

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
            let parts = FilterSql::leads(&filter, 7).remove(0);
            let (sql, values) = statement(parts, by, (9, None), 7);
            let bound = Value::Integer(9);
            assert_eq!(values.last(), Some(&bound), "{by:?}");
            assert!(sql.contains("INDEXED BY callbacks_dead"), "{sql}");
        }
    }
}
