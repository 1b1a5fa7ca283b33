//! How does an answer reach the one who waits for it in the same process?

use crate::replies::{INBOX, Replies};
use bytes::Bytes;
use std::sync::{Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// There is one process, and so one address.
const ADDRESS: &str = "embedded";

/// Those who listen. All hear everything: what is not theirs they do not know.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<Vec<mpsc::Sender<Bytes>>>);

impl Listeners {
    pub(super) fn listen(&self) -> Replies {
        let (sender, inbox) = mpsc::channel(INBOX);
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(sender);
        // Its sender is gone at once: the address never changes.
        let (_, address) = watch::channel(Some(ADDRESS.to_owned()));
        Replies { address, inbox }
    }

    /// An address of another kind is from another broker's time: there is nobody.
    pub(super) fn tell(&self, address: &str, reply: &Bytes) {
        if address == ADDRESS {
            let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for listener in listeners.iter() {
                // Full, or gone: dropped.
                let _ = listener.try_send(reply.clone());
            }
        }
    }
}
