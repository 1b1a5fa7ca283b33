//! Stores records from the journal's queue in the journal.
//!
//! Batches are collected, stored together, and only then settled. A callback that is accepted and
//! delivered within [`COLLECT_TIME`] is written once, instead of inserted and updated: that saves a
//! third of the journal's work.
//!
//! Batches that cannot be stored within [`HOLD_TIME`] are given back to the queue, and none is taken
//! until the journal has stored the records that the writer still knows: RabbitMQ ends a consumer
//! that leaves a message unsettled for too long, and what is held counts nowhere. Storing them twice
//! changes nothing.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use broker::{Broker, Consumer, Queue, Received, Settlement};
use failpoints::crash_point;
use journal::{BatchPart, DecodedBatch, Record, decode_batch};
use runtime::clock::now_ms;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sinks::DirectSink;

/// Unsettled batches; each holds a few hundred records, or 1,000 from a spool.
const PREFETCH: u16 = 256;
/// Collecting stops at this number of records.
const MAX_BATCH_RECORDS: usize = 4_000;
/// How long batches are collected. A callback must be found within a second of its acceptance.
const COLLECT_TIME: Duration = Duration::from_millis(150);
/// Far below RabbitMQ's consumer timeout (`consumer_timeout`): 30 min by default, 1 min at least, since
/// it is checked once a minute.
const HOLD_TIME: Duration = Duration::from_secs(20);
/// After a batch that took longer, what was read ahead is given back as well.
const SLOW_STORE: Duration = Duration::from_secs(5);
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
    /// Which of the records came together.
    parts: Vec<BatchPart>,
}

impl Writer {
    pub(super) fn new(broker: Broker, sink: DirectSink) -> Self {
        Self { broker, sink }
    }

    /// Writes until `stop`. What is not stored by then stays in the queue.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut consumer = self.broker.consume(Queue::Journal, PREFETCH);
        while let Some(first) = stop.run_until_cancelled(consumer.next()).await {
            let begun = Instant::now();
            let PendingBatch {
                received,
                records,
                parts,
            } = self.collect(first, &mut consumer).await;
            crash_point!("writer.received");
            let mut held = self.sink.health.hold(received.len(), &records);
            let mut storing = pin!(retry_until_stored(|| self.sink.store(&records, &parts)));
            tokio::select! {
                biased;
                () = &mut storing => {
                    crash_point!("writer.stored");
                    settle_all(received).await;
                    crash_point!("writer.settled");
                    // What was read ahead has been held for as long.
                    if begun.elapsed() > SLOW_STORE {
                        close(consumer).await;
                        consumer = self.broker.consume(Queue::Journal, PREFETCH);
                    }
                }
                () = stop.cancelled() => break, // Unsettled: the queue delivers them again.
                () = tokio::time::sleep_until(begun + HOLD_TIME) => {
                    tracing::warn!(
                        records = records.len(),
                        "records cannot be stored; their batches are given back to the journal's queue"
                    );
                    drop(received);
                    drop(held);
                    // They are in the queue again, and still not written.
                    held = self.sink.health.hold(0, &records);
                    close(consumer).await;
                    if stop.run_until_cancelled(storing).await.is_none() {
                        return;
                    }
                    tracing::info!("records can be stored again; the journal's queue is read");
                    consumer = self.broker.consume(Queue::Journal, PREFETCH);
                }
            }
            drop(held);
        }
        close(consumer).await;
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
            Ok(DecodedBatch {
                records,
                span,
                skipped,
            }) => {
                if skipped > 0 {
                    tracing::warn!(skipped, "records of an unknown kind skipped");
                    self.sink.metrics.skipped(skipped);
                }
                batch.parts.push(BatchPart {
                    records: records.len(),
                    span,
                });
                batch.records.extend(records);
                batch.received.push(received);
            }
            Err(error) => {
                tracing::error!(%error, "unreadable batch of records quarantined");
                self.sink.metrics.unreadable_batch();
                let quarantine = Settlement::Quarantine {
                    reason: error.to_string(),
                    at: now_ms(),
                };
                settle(received, quarantine).await;
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

/// Returns all that is unsettled to the queue at once.
async fn close(mut consumer: Consumer) {
    consumer.cancel().await;
    consumer.close().await;
}

async fn settle_all(batches: Vec<Received>) {
    for received in batches {
        settle(received, Settlement::Complete).await;
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
