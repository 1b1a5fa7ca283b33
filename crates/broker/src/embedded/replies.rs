//! Replies within one process.

use crate::replies::{MAX_UNREAD_REPLIES, Replies};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// One process needs one address only.
const ADDRESS: &str = "embedded";

/// All listeners by address. Those of one address receive every reply to it, and ignore those with
/// an id that they do not know.
#[derive(Debug, Default)]
pub(super) struct ReplyListeners {
    listeners: Mutex<Vec<(String, mpsc::Sender<Bytes>)>>,
    numbers: AtomicU64,
}

impl ReplyListeners {
    pub(super) fn listen(&self) -> Replies {
        let (sender, inbox) = mpsc::channel(MAX_UNREAD_REPLIES);
        let address = self.add(ADDRESS.to_owned(), sender);
        Replies { address, inbox }
    }

    /// Adds an inbox with an address of its own, which never changes.
    pub(super) fn listen_alone(
        &self,
        inbox: mpsc::Sender<Bytes>,
    ) -> watch::Receiver<Option<String>> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        self.add(format!("{ADDRESS}.{number}"), inbox)
    }

    fn add(&self, address: String, inbox: mpsc::Sender<Bytes>) -> watch::Receiver<Option<String>> {
        let mut listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|(_, listener)| !listener.is_closed());
        listeners.push((address.clone(), inbox));
        // The sender is dropped at once: the address never changes.
        watch::channel(Some(address)).1
    }

    /// Drops a reply to another address: it is RabbitMQ's, from before this process used the
    /// embedded store.
    pub(super) fn send(&self, address: &str, reply: &Bytes) {
        let listeners = self
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (_, listener) in listeners.iter().filter(|(known, _)| known == address) {
            // Dropped when the inbox is full or closed.
            let _ = listener.try_send(reply.clone());
        }
    }
}
