//! How does one who waits for an answer hear it?

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

/// Replies read and not yet asked for. Whoever reads slower than this loses the newest.
pub(crate) const INBOX: usize = 4_096;

/// What is told to the address that it gives; see [`crate::Broker::replies`]. Dropping it ends the
/// listening.
#[derive(Debug)]
pub struct Replies {
    pub(crate) address: watch::Receiver<Option<String>>,
    pub(crate) inbox: mpsc::Receiver<Bytes>,
}

impl Replies {
    /// Where to reply to, at this moment: another one after each lost connection, and `None` while
    /// there is no connection. The receiver can be cloned and kept by whoever asks.
    pub fn address(&self) -> watch::Receiver<Option<String>> {
        self.address.clone()
    }

    /// The next reply; waits as long as there is none. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Bytes {
        match self.inbox.recv().await {
            Some(reply) => reply,
            // The broker was closed on purpose: there will never be another.
            None => std::future::pending().await,
        }
    }
}
