//! Best-effort messages to all processes of a gateway.
//!
//! Nothing durable depends on them: one may be lost, and is dropped when it is not read in time.

use crate::embedded::ControlListeners;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Messages that are received and not yet read. When it is full, the newest are dropped.
pub(crate) const MAX_UNREAD: usize = 1_024;

/// What is sent to all processes, and the replies to this one's address; see
/// [`Broker::control`](crate::Broker::control). Dropping it stops listening.
#[derive(Debug)]
pub struct Control {
    pub(crate) address: watch::Receiver<Option<String>>,
    pub(crate) inbox: mpsc::Receiver<Bytes>,
    pub(crate) sender: ControlSender,
}

impl Control {
    /// Where [`Broker::reply`](crate::Broker::reply) reaches this listener: a new address after each
    /// lost connection, and `None` while it does not listen. The receiver can be cloned and kept.
    pub fn address(&self) -> watch::Receiver<Option<String>> {
        self.address.clone()
    }

    /// Sends to all listeners, this one included.
    pub fn sender(&self) -> ControlSender {
        self.sender.clone()
    }

    /// The next message; waits while there is none. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Bytes {
        match self.inbox.recv().await {
            Some(message) => message,
            // The broker was closed: there will be no further message.
            None => std::future::pending().await,
        }
    }
}

/// Sends to all processes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ControlSender(pub(crate) ControlRoute);

/// How a message reaches the listeners.
#[derive(Clone, Debug)]
pub(crate) enum ControlRoute {
    /// An outbox of routing keys and messages.
    RabbitMq(mpsc::Sender<(String, Bytes)>),
    Embedded(Arc<ControlListeners>),
}

impl ControlSender {
    /// Sends a message. Returns at once; it is dropped when there is no connection or the outbox is
    /// full.
    pub fn broadcast(&self, message: Bytes) {
        match &self.0 {
            ControlRoute::RabbitMq(outbox) => _ = outbox.try_send((String::new(), message)),
            ControlRoute::Embedded(listeners) => listeners.send(&message),
        }
    }
}
