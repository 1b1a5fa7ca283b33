//! Where the recorder writes its batches.

use async_trait::async_trait;

use crate::journal::Journal;
use crate::model::{BatchPart, BatchSpan, Record};

/// Makes batches of records durable: the journal itself, or a queue on the way to it.
#[async_trait]
pub trait RecordSink: Send + Sync + 'static {
    /// Makes the batch durable, or returns a sentence why not. It is tried again. `span`: the part of
    /// the recorder's stream that the batch holds; it may hold no records. `None`: an older version made
    /// the batch.
    async fn put(&self, records: &[Record], span: Option<&BatchSpan>) -> Result<(), String>;
}

/// Writes directly to the journal.
#[async_trait]
impl RecordSink for Journal {
    async fn put(&self, records: &[Record], span: Option<&BatchSpan>) -> Result<(), String> {
        let batch = BatchPart {
            records: records.len(),
            span: span.copied(),
        };
        let stored = self.record_each(records, &[batch]).await;
        stored.map(drop).map_err(|error| error.to_string())
    }
}
