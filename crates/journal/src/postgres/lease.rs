//! Leases: background work that one process does at a time.

use async_trait::async_trait;
use uuid::Uuid;

use super::connection::PostgresJournal;
use crate::column::bigint;
use crate::error::JournalResult;
use crate::store::LeaseStore;

#[async_trait]
impl LeaseStore for PostgresJournal {
    async fn take_lease(
        &self,
        name: &str,
        owner: Uuid,
        now: u64,
        until: u64,
    ) -> JournalResult<bool> {
        let query = sqlx::query(
            "INSERT INTO leases AS old (name, owner, until) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until \
             WHERE old.owner = excluded.owner OR old.until <= $4 \
                 OR old.until > excluded.until + 3600000", // By a clock ahead.
        )
        .bind(name)
        .bind(owner.to_string())
        .bind(bigint(until))
        .bind(bigint(now));
        let taken = self.run(query.execute(&self.pool)).await?;
        Ok(taken.rows_affected() == 1)
    }
}
