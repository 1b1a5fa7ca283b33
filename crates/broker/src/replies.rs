//! Best-effort replies to a process that waits for them.

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

/// Replies that are received and not yet read. When it is full, the newest are dropped.
pub(crate) const MAX_UNREAD_REPLIES: usize = 4_096;

/// The replies sent to one listener's address; see [`Broker::replies`](crate::Broker::replies).
/// Dropping it stops listening.
#[derive(Debug)]
pub struct Replies {
    pub(crate) address: watch::Receiver<Option<String>>,
    pub(crate) inbox: mpsc::Receiver<Bytes>,
}

impl Replies {
    /// The current reply address: a new one after each lost connection, and `None` while there is
    /// no connection. The receiver can be cloned and kept.
    pub fn address(&self) -> watch::Receiver<Option<String>> {
        self.address.clone()
    }

    /// The next reply; waits while there is none. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Bytes {
        match self.inbox.recv().await {
            Some(reply) => reply,
            // The broker was closed: there will be no further reply.
            None => std::future::pending().await,
        }
    }
}
