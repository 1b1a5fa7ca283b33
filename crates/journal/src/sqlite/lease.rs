//! Leases: background work that one process does at a time.

use async_trait::async_trait;
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::connection::SqliteJournal;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::store::LeaseStore;

#[async_trait]
impl LeaseStore for SqliteJournal {
    async fn take_lease(
        &self,
        name: &str,
        owner: Uuid,
        now: u64,
        until: u64,
    ) -> JournalResult<bool> {
        let name = name.to_owned();
        let work = move |conn: &Connection| {
            let taken = conn
                .prepare_cached(
                    "INSERT INTO leases (name, owner, until) VALUES (?1, ?2, ?3)
                     ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
                     WHERE leases.owner = excluded.owner OR leases.until <= ?4
                         OR leases.until > excluded.until + 3600000", // By a clock ahead.
                )?
                .execute(params![name, owner.to_string(), bigint(until), bigint(now)])?;
            Ok(taken == 1)
        };
        self.writer.run(work).await
    }
}
