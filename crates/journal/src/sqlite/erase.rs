//! Erasure of personal data.

use async_trait::async_trait;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use uuid::Uuid;

use super::connection::SqliteJournal;
use super::filter::{FilterSql, blob};
use super::retry::MAX_STEP;
use super::row::{id, status};
use crate::error::JournalResult;
use crate::model::{EraseOutcome, ErasedMany, Filter};
use crate::store::EraseStore;

/// What has ended and has something to erase.
const ERASABLE: &str = "status NOT IN ('queued', 'retrying') AND (dead_letter IS NOT NULL
     OR callback_url <> '' OR caller_no <> '' OR EXISTS (SELECT 1 FROM attempts
     WHERE attempts.request_id = callbacks.request_id
     AND (answer IS NOT NULL OR cause IS NOT NULL OR detail IS NOT NULL)))";

#[async_trait]
impl EraseStore for SqliteJournal {
    async fn erase(
        &self,
        filter: &Filter,
        after: Option<Uuid>,
        limit: u32,
    ) -> JournalResult<ErasedMany> {
        let filter = Filter {
            discarded: true,
            ..filter.clone()
        };
        let work = move |conn: &Connection| {
            // The time matters only to callbacks that are due, and what has ended is not.
            let mut whole = FilterSql::whole(&filter, 0);
            if let Some(after) = after {
                whole.and("request_id > ?", blob(after));
            }
            let limit = Value::Integer(i64::from(limit.min(MAX_STEP)));
            whole.values.push(limit);
            let sql = format!(
                "SELECT request_id FROM {} AND {ERASABLE} ORDER BY request_id LIMIT ?",
                whole.sql()
            );
            let mut statement = conn.prepare_cached(&sql)?;
            let found = statement.query_map(params_from_iter(whole.values), |row| id(row, 0))?;
            let ids: Vec<Uuid> = found.collect::<rusqlite::Result<_>>()?;
            for request_id in &ids {
                erase_row(conn, *request_id)?;
            }
            Ok(ErasedMany {
                erased: u64::try_from(ids.len()).unwrap_or(u64::MAX),
                last: ids.last().copied(),
            })
        };
        self.writer.run(work).await
    }

    async fn erase_one(&self, request_id: Uuid) -> JournalResult<EraseOutcome> {
        let work = move |conn: &Connection| {
            let found = conn
                .prepare_cached("SELECT status FROM callbacks WHERE request_id = ?1")?
                .query_row([request_id.as_bytes()], |row| status(row, 0))
                .optional()?;
            Ok(match found {
                None => EraseOutcome::Unknown,
                Some(status) if status.is_unfinished() => EraseOutcome::Waits,
                Some(_) => {
                    erase_row(conn, request_id)?;
                    EraseOutcome::Erased
                }
            })
        };
        self.writer.run(work).await
    }
}

/// URL and `caller_no` are not NULL then: a late record would fill them in again.
fn erase_row(conn: &Connection, request_id: Uuid) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE callbacks SET dead_letter = NULL, dead_letter_since = NULL, callback_url = '', caller_no = '',
         discarded = discarded OR status IN ('dead', 'expired') WHERE request_id = ?1",
    )?
    .execute([request_id.as_bytes()])?;
    conn.prepare_cached(
        "UPDATE attempts SET answer = NULL, answer_type = NULL, cause = NULL, detail = NULL
         WHERE request_id = ?1",
    )?
    .execute([request_id.as_bytes()])
    .map(drop)
}
