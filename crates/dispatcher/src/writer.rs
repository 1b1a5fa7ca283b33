//! How do records get from their queue into the journal?
//!
//! Batches are merged, stored, and only then settled. A callback that is accepted and delivered within
//! the moment for which they are gathered is written as one row, once, instead of written and changed:
//! that is a third of the journal's work. While the journal is out of reach batches stay unsettled in
//! hand, and the queue holds the rest.

use crate::sinks::Straight;
use boot::Metrics;
use broker::{Broker, Consumer, Lane, Received, Settlement};
use journal::{Journal, Record, Sink, decode_batch};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Batches in hand; each holds some hundred records at most.
const PREFETCH: u16 = 256;
/// Where this many records are reached, they are stored together.
const ENOUGH: usize = 4_000;
/// How long they are gathered. A callback must be found within a second of its acceptance.
const GATHER: Duration = Duration::from_millis(150);
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Reads the journal's queue. Any number of them may.
pub struct Writer {
    broker: Broker,
    straight: Straight,
}

/// Batches that are stored together.
#[derive(Default)]
struct Merged {
    received: Vec<Received>,
    records: Vec<Record>,
}

impl Writer {
    /// A writer that has not begun yet.
    pub fn new(broker: Broker, journal: Journal, metrics: Arc<Metrics>) -> Self {
        let straight = Straight { journal, metrics };
        Self { broker, straight }
    }

    /// Writes until `stop`. What is not stored by then stays in the queue.
    pub async fn run(self, stop: CancellationToken) {
        let mut consumer = self.broker.consume(Lane::Journal, PREFETCH);
        while let Some(first) = stop.run_until_cancelled(consumer.next()).await {
            let merged = self.gather(first, &mut consumer).await;
            let stored = until_done(|| self.straight.put(&merged.records));
            if stop.run_until_cancelled(stored).await.is_none() {
                break; // Unsettled: the queue hands them out again.
            }
            for received in merged.received {
                settle(received, Settlement::Done).await;
            }
        }
        consumer.cancel().await;
        consumer.close().await;
    }

    async fn gather(&self, first: Received, consumer: &mut Consumer) -> Merged {
        let mut merged = Merged::default();
        self.merge(first, &mut merged).await;
        let over = Instant::now() + GATHER;
        while merged.records.len() < ENOUGH
            && merged.received.len() < usize::from(PREFETCH)
            && let Ok(next) = tokio::time::timeout_at(over, consumer.next()).await
        {
            self.merge(next, &mut merged).await;
        }
        merged
    }

    /// Reads a batch; one that cannot be read is set aside.
    async fn merge(&self, received: Received, merged: &mut Merged) {
        match decode_batch(&received.body) {
            Ok(records) => {
                merged.records.extend(records);
                merged.received.push(received);
            }
            Err(error) => {
                tracing::error!(%error, "a batch of records is unreadable; set aside");
                self.straight.metrics.poison();
                let reason = error.to_string();
                settle(received, Settlement::Poison { reason }).await;
            }
        }
    }
}

/// Does it again, with growing waits, until it is done.
async fn until_done<F: Future<Output = Result<(), String>>>(mut task: impl FnMut() -> F) {
    let mut wait = FIRST_WAIT;
    while let Err(reason) = task().await {
        tracing::warn!(reason, "records wait in the journal's queue");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn settle(received: Received, settlement: Settlement) {
    if let Err(error) = received.settle(settlement).await {
        // They are stored once more then, which changes nothing.
        tracing::warn!(%error, "a batch of records could not be settled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_fails_is_done_again_until_it_is_done() {
        let mut left = 3;
        until_done(|| {
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
