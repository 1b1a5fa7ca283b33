//! Stores records from the journal's queue in the journal.
//!
//! Batches are collected, stored together, and only then settled. A callback that is accepted and
//! delivered within [`COLLECT_TIME`] is written once, instead of inserted and updated: that saves a
//! third of the journal's work. While the journal is unreachable, batches stay unsettled and the
//! queue holds the rest.

use std::future::Future;
use std::time::Duration;

use broker::{Broker, Consumer, Queue, Received, Settlement};
use journal::{DecodedBatch, Record, RecordSink as _, decode_batch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sinks::DirectSink;

/// Unsettled batches; each holds a few hundred records at most.
const PREFETCH: u16 = 256;
/// Collecting stops at this number of records.
const MAX_BATCH_RECORDS: usize = 4_000;
/// How long batches are collected. A callback must be found within a second of its acceptance.
const COLLECT_TIME: Duration = Duration::from_millis(150);
const MIN_RETRY_WAIT: Duration = Duration::from_millis(100);
const MAX_RETRY_WAIT: Duration = Duration::from_secs(5);

/// Stores the records in the journal's queue. Any number of writers may run.
pub(super) struct Writer {
    broker: Broker,
    sink: DirectSink,
}

/// Batches that are stored together.
#[derive(Default)]
struct PendingBatch {
    received: Vec<Received>,
    records: Vec<Record>,
}

impl Writer {
    pub(super) fn new(broker: Broker, sink: DirectSink) -> Self {
        Self { broker, sink }
    }

    /// Writes until `stop`. What is not stored by then stays in the queue.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut consumer = self.broker.consume(Queue::Journal, PREFETCH);
        while let Some(first) = stop.run_until_cancelled(consumer.next()).await {
            let batch = self.collect(first, &mut consumer).await;
            let stored = retry_until_stored(|| self.sink.put(&batch.records));
            if stop.run_until_cancelled(stored).await.is_none() {
                break; // Unsettled: the queue delivers them again.
            }
            for received in batch.received {
                settle(received, Settlement::Complete).await;
            }
        }
        consumer.cancel().await;
        consumer.close().await;
    }

    async fn collect(&self, first: Received, consumer: &mut Consumer) -> PendingBatch {
        let mut batch = PendingBatch::default();
        self.decode_into(first, &mut batch).await;
        let deadline = Instant::now() + COLLECT_TIME;
        while batch.records.len() < MAX_BATCH_RECORDS
            && batch.received.len() < usize::from(PREFETCH)
            && let Ok(next) = tokio::time::timeout_at(deadline, consumer.next()).await
        {
            self.decode_into(next, &mut batch).await;
        }
        batch
    }

    /// Adds the records of a message; one that cannot be decoded is quarantined.
    async fn decode_into(&self, received: Received, batch: &mut PendingBatch) {
        match decode_batch(&received.body) {
            Ok(DecodedBatch { records, skipped }) => {
                if skipped > 0 {
                    tracing::warn!(skipped, "records of an unknown kind skipped");
                    self.sink.metrics.skipped(skipped);
                }
                batch.records.extend(records);
                batch.received.push(received);
            }
            Err(error) => {
                tracing::error!(%error, "unreadable batch of records quarantined");
                self.sink.metrics.unreadable_batch();
                let reason = error.to_string();
                settle(received, Settlement::Quarantine { reason }).await;
            }
        }
    }
}

/// Repeats a task, with growing waits, until it succeeds.
async fn retry_until_stored<F: Future<Output = Result<(), String>>>(mut task: impl FnMut() -> F) {
    let mut wait = MIN_RETRY_WAIT;
    while let Err(reason) = task().await {
        tracing::warn!(
            reason,
            "failed to store records; they stay in the journal's queue"
        );
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(MAX_RETRY_WAIT);
    }
}

async fn settle(received: Received, settlement: Settlement) {
    if let Err(error) = received.settle(settlement).await {
        // It is redelivered and stored again, which changes nothing.
        tracing::warn!(%error, "failed to settle a batch of records");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_write_is_repeated_until_it_succeeds() {
        let mut left = 3;
        retry_until_stored(|| {
            left -= 1;
            std::future::ready(if left == 0 {
                Ok(())
            } else {
                Err("away".to_owned())
            })
        })
        .await;
        assert_eq!(left, 0);
    }
}
