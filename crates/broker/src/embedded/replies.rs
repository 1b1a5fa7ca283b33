//! Replies within one process.

use crate::replies::{MAX_UNREAD_REPLIES, Replies};
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// One process needs one address only.
const ADDRESS: &str = "embedded";

/// All listeners. Each receives every reply and ignores those with an id that it does not know.
#[derive(Debug, Default)]
pub(super) struct ReplyListeners(Mutex<Vec<mpsc::Sender<Bytes>>>);

impl ReplyListeners {
    pub(super) fn listen(&self) -> Replies {
        let (sender, inbox) = mpsc::channel(MAX_UNREAD_REPLIES);
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        // The sender is dropped at once: the address never changes.
        let (_, address) = watch::channel(Some(ADDRESS.to_owned()));
        Replies { address, inbox }
    }

    /// Drops a reply to another address: it is RabbitMQ's, from before this process used the
    /// embedded store.
    pub(super) fn send(&self, address: &str, reply: &Bytes) {
        if address == ADDRESS {
            let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for listener in listeners.iter() {
                // Dropped when the inbox is full or closed.
                let _ = listener.try_send(reply.clone());
            }
        }
    }
}
