//! Where the recorder writes its batches.

use async_trait::async_trait;

use crate::journal::Journal;
use crate::model::Record;

/// Makes batches of records durable: the journal itself, or a queue on the way to it.
#[async_trait]
pub trait RecordSink: Send + Sync + 'static {
    /// Makes the batch durable, or returns a sentence why not. It is tried again.
    async fn put(&self, records: &[Record]) -> Result<(), String>;
}

/// Writes directly to the journal.
#[async_trait]
impl RecordSink for Journal {
    async fn put(&self, records: &[Record]) -> Result<(), String> {
        let stored = self.record_each(records).await;
        stored.map(drop).map_err(|error| error.to_string())
    }
}
