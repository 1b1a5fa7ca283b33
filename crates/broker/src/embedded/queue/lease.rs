//! The lease of a delivered message, by which it is settled.
//!
//! Leases are kept in the process's memory: they need no clock and end with the process.

use super::lease_table::{DroppedLease, LeaseTable};
use crate::embedded::store::command::{NewMessage, StoreCommand, StoreHandle};
use crate::message::Queue;
use crate::settlement::{Settlement, Unsettled};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Settles one delivered message.
pub(crate) struct Lease {
    pub(super) queue: Queue,
    pub(super) number: i64,
    pub(super) leases: Arc<LeaseTable>,
    pub(super) store: StoreHandle,
    /// Released when the message is settled.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

impl Lease {
    pub(crate) async fn settle(
        mut self,
        body: Bytes,
        settlement: Settlement,
    ) -> Result<(), Unsettled> {
        // Missing: the consumer was dropped, and the message has returned to the queue.
        self.leases.lock().remove(&self.number).ok_or(Unsettled)?;
        let (queue, number) = (self.queue, self.number);
        let settled = match settlement.follow_up(queue, body) {
            // Not awaited: a lost deletion means a redelivery.
            None => {
                self.store.send(StoreCommand::Settle {
                    queue,
                    number,
                    follow_up: None,
                    done: None,
                });
                Ok(())
            }
            Some((route, message)) => {
                let (done, durable) = oneshot::channel();
                let now = self.store.now_ms();
                self.store.send(StoreCommand::Settle {
                    queue,
                    number,
                    follow_up: Some(NewMessage::new(&route, message, now)),
                    done: Some(done),
                });
                durable.await.map_err(|_| Unsettled)
            }
        };
        drop(self.permit.take());
        settled
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Without the permit it was settled.
        if let Some(permit) = self.permit.take() {
            self.store.send(StoreCommand::Dropped(DroppedLease {
                queue: self.queue,
                number: self.number,
                leases: Arc::clone(&self.leases),
                permit,
            }));
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
