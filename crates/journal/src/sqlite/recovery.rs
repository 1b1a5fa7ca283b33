//! Counts for acts on many callbacks, and what a broker without its messages is given back.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::connection::SqliteJournal;
use super::filter::{DELAYED, FilterSql};
use super::retry::{MAX_STEP, MAX_STEP_BYTES, start};
use super::row::{id, unsigned};
use crate::column::bigint;
use crate::error::JournalResult;
use crate::merge::{MAX_HOLD, next_attempt};
use crate::model::{BulkCounts, Filter, WaitingMessage};
use crate::store::RecoveryStore;

/// What has not ended, has its message and is in no replay's hands.
const RECOVERABLE: &str = "status IN ('queued', 'retrying') AND dead_letter IS NOT NULL
     AND replay_taken_at IS NULL AND next_attempt_at IS NOT NULL";

#[async_trait]
impl RecoveryStore for SqliteJournal {
    async fn bulk_counts(&self, filter: &Filter, now: u64) -> JournalResult<BulkCounts> {
        let filter = filter.clone();
        let select = move |conn: &Connection| {
            let whole = FilterSql::whole(&filter, now);
            let sql = format!(
                "SELECT count(*),
                 count(*) FILTER (WHERE dead_letter IS NOT NULL AND replay_taken_at IS NULL),
                 count(*) FILTER (WHERE status IN ('queued', 'retrying')),
                 count(*) FILTER (WHERE {RECOVERABLE} AND cancel_requested = 0
                                  AND next_attempt_at > ?),
                 count(*) FILTER (WHERE {RECOVERABLE} AND cancel_requested = 0 AND {DELAYED}),
                 count(*) FILTER (WHERE status IN ('queued', 'retrying', 'unaccounted')
                                  AND cancel_requested = 0),
                 count(*) FILTER (WHERE {RECOVERABLE}) FROM {}",
                whole.sql()
            );
            let now = std::iter::repeat_n(Value::Integer(bigint(now)), 2);
            conn.prepare_cached(&sql)?
                .query_row(params_from_iter(now.chain(whole.values)), |row| {
                    Ok(BulkCounts {
                        matched: unsigned(row, 0)?,
                        with_message: unsigned(row, 1)?,
                        unfinished: unsigned(row, 2)?,
                        retryable: unsigned(row, 3)?,
                        delayed: unsigned(row, 4)?,
                        cancellable: unsigned(row, 5)?,
                        recoverable: unsigned(row, 6)?,
                    })
                })
        };
        self.lister.run(select).await
    }

    async fn take_recoveries(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<WaitingMessage>> {
        let filter = filter.clone();
        let work = move |conn: &Connection| {
            let mut taken = Vec::new();
            let mut bytes = 0;
            for mut waiting in recoverable(conn, &filter, limit.min(MAX_STEP), now)? {
                if bytes >= MAX_STEP_BYTES {
                    break;
                }
                bytes += waiting.message.len();
                waiting.hold += 1;
                waiting.due_at = waiting.due_at.max(now);
                start(conn, &waiting, now)?;
                taken.push(waiting);
            }
            Ok(taken)
        };
        self.writer.run(work).await
    }
}

/// At most `limit` callbacks that match and can be taken, oldest first.
fn recoverable(
    conn: &Connection,
    filter: &Filter,
    limit: u32,
    now: u64,
) -> rusqlite::Result<Vec<WaitingMessage>> {
    let mut found = Vec::new();
    for mut part in FilterSql::waiting(filter, now) {
        part.and("hold < ?", Value::Integer(i64::from(MAX_HOLD)));
        part.values.push(Value::Integer(i64::from(limit)));
        let sql = format!(
            "SELECT request_id, generation, hold, progress, next_attempt_at, dead_letter
             FROM {} AND {RECOVERABLE} ORDER BY request_id LIMIT ?",
            part.sql()
        );
        let mut statement = conn.prepare_cached(&sql)?;
        let rows = statement.query_map(params_from_iter(part.values), waiting)?;
        for row in rows {
            found.push(row?);
        }
    }
    found.sort_unstable_by_key(|waiting| waiting.request_id);
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(found)
}

fn waiting(row: &Row<'_>) -> rusqlite::Result<WaitingMessage> {
    let message: Vec<u8> = row.get(5)?;
    Ok(WaitingMessage {
        request_id: id(row, 0)?,
        generation: row.get(1)?,
        hold: row.get(2)?,
        attempt: next_attempt(row.get(3)?),
        due_at: unsigned(row, 4)?,
        message: Bytes::from(message),
    })
}
