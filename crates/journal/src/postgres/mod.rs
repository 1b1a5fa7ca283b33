//! The journal in PostgreSQL.
//!
//! Two tables, `callbacks` and `attempts`, are partitioned by the day within the UUID v7, so that
//! retention drops a day at once. The merge key decides in the database which of two records wins:
//! any number of processes write in any order.
//!
//! - `connection.rs`: the pool. `hosts.rs`: its servers, of which the primary is used.
//!   `unreachable.rs`: why there is no connection, with host and port. `schema.rs`, `schema*.sql`: the tables. `partitions.rs`: their days.
//! - `write.rs`: records. `read.rs` with `filter.rs`: callbacks, one or a page. `row.rs`: a row's
//!   values.
//! - `counts.rs`: the unfinished callbacks of each app, kept by triggers of `schema_4.sql`.
//! - `cancel.rs`, `replay.rs`, `retry.rs`, `recovery.rs`, `erase.rs`, `idempotency.rs`, `pause.rs`,
//!   `audit.rs`, `retention.rs`, `rollup.rs`, `lease.rs`, `stream.rs`, `unaccounted.rs`, `waiting.rs`: the other concerns, a trait each.
//! - `error.rs`: which database errors mean that the journal is unavailable, and which that records
//!   are refused.

mod audit;
mod cancel;
mod connection;
mod counts;
mod erase;
mod error;
mod filter;
mod group;
mod hosts;
mod idempotency;
mod lease;
mod partitions;
mod pause;
mod read;
mod recovery;
mod replay;
mod retention;
mod retry;
mod rollup;
mod row;
mod schema;
mod stream;
mod unaccounted;
mod unreachable;
mod waiting;
mod write;

use async_trait::async_trait;

use crate::error::JournalResult;
use crate::store::JournalStore;
use crate::url::JournalUrl;

pub(crate) use connection::PostgresJournal;

#[async_trait]
impl JournalStore for PostgresJournal {
    async fn migrate(&self) -> JournalResult<()> {
        schema::migrate(self).await
    }

    fn use_credentials(&self, url: &JournalUrl) {
        Self::use_credentials(self, url);
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::JournalError;
    use crate::store::CallbackStore as _;

    #[tokio::test]
    async fn the_password_is_never_shown() {
        let journal =
            PostgresJournal::new(JournalUrl::parse("postgres://me:secret@127.0.0.1:1/db").unwrap())
                .unwrap();
        assert!(!format!("{journal:?}").contains("secret"));
        let error = journal.find(uuid::Uuid::now_v7()).await.unwrap_err();
        assert!(matches!(error, JournalError::Unavailable(_)), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"));
        let unusable = JournalUrl::parse("postgres://me:secret@host:port/db")
            .err()
            .unwrap();
        assert!(!unusable.contains("secret"), "{unusable}");
    }

    #[test]
    fn a_url_of_another_scheme_is_refused() {
        assert!(JournalUrl::parse("mysql://host/db").is_err());
        assert!(JournalUrl::parse("").is_err());
    }
}
