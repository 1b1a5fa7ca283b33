//! Delivers the messages of one queue from the embedded store.

use super::lease::Lease;
use super::lease_table::LeaseTable;
use super::prefetch::{PrefetchBuffer, ReadyMessage};
use crate::embedded::store::command::{StoreCommand, StoreHandle};
use crate::embedded::store::state::{QueueStates, TakeResult};
use crate::message::Queue;
use crate::received::{Received, Settler};
use crate::settlement::{AT_HEADER, FROM_HEADER, REASON_HEADER};
use crate::state::ConnectionState;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// How long closing waits for settlements to be written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Prevents a busy loop at the end of a wait.
const MIN_SLEEP: Duration = Duration::from_millis(1);

/// Delivers the messages of one queue.
#[derive(Debug)]
pub(crate) struct EmbeddedConsumer {
    queue: Queue,
    queues: Arc<QueueStates>,
    store: StoreHandle,
    state: watch::Receiver<ConnectionState>,
    /// The prefetch window.
    permits: Arc<Semaphore>,
    leases: Arc<LeaseTable>,
    buffer: PrefetchBuffer,
}

impl EmbeddedConsumer {
    pub(in crate::embedded) fn new(
        queue: Queue,
        prefetch: u16,
        queues: Arc<QueueStates>,
        store: StoreHandle,
        state: watch::Receiver<ConnectionState>,
    ) -> Self {
        Self {
            queue,
            queues,
            store,
            state,
            permits: Arc::new(Semaphore::new(prefetch.into())),
            leases: Arc::default(),
            buffer: PrefetchBuffer::default(),
        }
    }

    pub(crate) async fn next(&mut self) -> Received {
        let permits = Arc::clone(&self.permits);
        let Ok(permit) = permits.acquire_owned().await else {
            return pending().await;
        };
        let queues = Arc::clone(&self.queues);
        loop {
            // A full disk accepts no follow-ups: an attempt now would only be repeated.
            if self
                .state
                .wait_for(|state| *state == ConnectionState::Connected)
                .await
                .is_err()
            {
                return pending().await;
            }
            if let Some(ready) = self.buffer.next().await {
                return self.deliver(ready, permit);
            }
            let mut changed = std::pin::pin!(queues.changed.notified());
            // Register before taking, or a notification in between is lost.
            changed.as_mut().enable();
            let now = self.store.now_ms();
            let TakeResult {
                taken,
                wants_page,
                next_due,
            } = queues.take(self.queue, now);
            if wants_page {
                self.store
                    .send(StoreCommand::LoadPage { queue: self.queue });
            }
            if !taken.is_empty() {
                self.buffer.fill(taken, self.queue, &self.store);
                continue;
            }
            let until_due = next_due.map(|due| Duration::from_millis(due.saturating_sub(now)));
            tokio::select! {
                () = changed => {}
                () = sleep(until_due) => {}
            }
        }
    }

    fn deliver(&self, ready: ReadyMessage, permit: OwnedSemaphorePermit) -> Received {
        let ReadyMessage {
            key,
            body,
            redelivered,
            headers,
        } = ready;
        self.leases.lock().insert(key.1, key);
        let lease = Lease {
            queue: self.queue,
            number: key.1,
            leases: Arc::clone(&self.leases),
            store: self.store.clone(),
            permit: Some(permit),
        };
        let header = |name| header(headers.as_deref()?, name);
        let at = header(AT_HEADER).and_then(|at| at.parse().ok());
        Received {
            body,
            redelivered,
            reason: header(REASON_HEADER),
            quarantined: (header(FROM_HEADER), at),
            settler: Settler::Embedded(lease),
        }
    }

    /// Returns what was taken and not delivered to the queue.
    pub(crate) fn cancel(&mut self) {
        let undelivered = self.buffer.drain();
        if !undelivered.is_empty() {
            self.queues.put_back(self.queue, undelivered);
        }
    }

    pub(crate) async fn close(self) {
        let (done, flushed) = oneshot::channel();
        self.store.send(StoreCommand::Flush { done });
        // An error means that the store has ended after executing every earlier command. A full
        // disk settles nothing, and must not keep the process from stopping.
        if tokio::time::timeout(CLOSE_TIMEOUT, flushed).await.is_err() {
            tracing::warn!(
                queue = self.queue.as_str(),
                "some settlements were not written; those messages will be redelivered"
            );
        }
    }
}

impl Drop for EmbeddedConsumer {
    fn drop(&mut self) {
        let unsettled = std::mem::take(&mut *self.leases.lock());
        let delivered = unsettled.into_values().map(|key| (key, true));
        let undelivered = self.buffer.drain();
        self.queues
            .put_back(self.queue, delivered.chain(undelivered));
    }
}

/// The value of a header, from the headers as they are stored.
fn header(headers: &str, name: &str) -> Option<String> {
    let headers: serde_json::Value = serde_json::from_str(headers).ok()?;
    headers.get(name)?.as_str().map(str::to_owned)
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait.max(MIN_SLEEP)).await,
        None => pending().await,
    }
}
