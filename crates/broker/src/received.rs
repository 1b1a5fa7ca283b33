//! A delivered message, to be settled exactly once.

use crate::embedded::queue::lease::Lease;
use crate::rabbitmq::consume::delivery::AckHandle;
use crate::settlement::{Settlement, Unsettled};
use bytes::Bytes;

/// A delivered message. It must be settled; the type prevents settling it twice.
///
/// Dropping it unsettled loses nothing: it returns to its queue, and its place in the prefetch
/// window is given back, after 5 s or when its consumer is closed. Not at once, because a requeue
/// loop would soon reach the delivery limit.
#[derive(Debug)]
pub struct Received {
    /// The body as it was published.
    pub body: Bytes,
    /// Whether the broker delivered it before (a crash, a lost connection, or a drop).
    pub redelivered: bool,
    /// Why it was dead-lettered or quarantined, if it was. The embedded store tells this of unreadable
    /// messages only.
    pub reason: Option<String>,
    /// If it was quarantined: the queue that it was read from, and when in Unix ms. `None` where its
    /// headers do not tell.
    pub quarantined: (Option<String>, Option<u64>),
    pub(crate) settler: Settler,
}

/// The adapter's handle that settles the message.
#[derive(Debug)]
pub(crate) enum Settler {
    RabbitMq(AckHandle),
    Embedded(Lease),
}

impl Received {
    /// Settles the message. Its follow-up is durable before the original is removed.
    ///
    /// While the follow-up cannot be confirmed (broker blocked or away), this waits and retries.
    ///
    /// # Errors
    /// [`Unsettled`] when the consumer's connection ended first: the broker still has the original
    /// and redelivers it.
    pub async fn settle(self, settlement: Settlement) -> Result<(), Unsettled> {
        match self.settler {
            Settler::RabbitMq(handle) => handle.settle(self.body, settlement).await,
            Settler::Embedded(lease) => lease.settle(self.body, settlement).await,
        }
    }
}
