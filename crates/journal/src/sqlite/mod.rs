//! The journal in a SQLite file, in the embedded broker's data directory.
//!
//! - `connection.rs`: the file and its connections. `worker/`: a thread for each connection;
//!   writers share a sync. `schema.rs`: the tables.
//! - `write.rs`: records. `read.rs` with `filter.rs`: callbacks, one or a page. `row.rs`: a row's
//!   values.
//! - `counts.rs`: the unfinished callbacks of each app, kept by the writer.
//! - `cancel.rs`, `replay.rs`, `retry.rs`, `recovery.rs`, `erase.rs`, `group.rs`, `idempotency.rs`, `pause.rs`,
//!   `audit.rs`, `retention.rs`, `rollup.rs`, `lease.rs`, `stream.rs`, `unaccounted.rs`, `waiting.rs`: the other concerns, a trait each.
//! - `clock.rs`: the time. `error.rs`: which database errors mean that the journal is unavailable, and which that records
//!   are refused.

mod audit;
mod cancel;
mod clock;
mod connection;
mod counts;
mod erase;
mod error;
mod filter;
mod group;
mod idempotency;
mod lease;
#[cfg(test)]
mod model_tests;
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
mod waiting;
mod worker;
mod write;

use async_trait::async_trait;

use crate::error::JournalResult;
use crate::store::JournalStore;
use crate::url::JournalUrl;

pub(crate) use clock::JournalClock;
pub(crate) use connection::SqliteJournal;

#[async_trait]
impl JournalStore for SqliteJournal {
    /// Only checks the connection: the tables were created when the file was opened.
    async fn migrate(&self) -> JournalResult<()> {
        self.reader.run(|_| Ok(())).await
    }

    fn use_credentials(&self, _url: &JournalUrl) {}

    /// Stops the readers first: then the writer can checkpoint the write-ahead log.
    async fn close(&self) {
        tokio::join!(self.reader.stop(), self.lister.stop());
        self.writer.stop().await;
    }
}
