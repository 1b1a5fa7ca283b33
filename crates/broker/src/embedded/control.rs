//! Messages to all listeners within one process.

use bytes::Bytes;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

/// All listeners.
#[derive(Debug, Default)]
pub(crate) struct ControlListeners(Mutex<Vec<mpsc::Sender<Bytes>>>);

impl ControlListeners {
    pub(super) fn add(&self, inbox: mpsc::Sender<Bytes>) {
        let mut listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| !listener.is_closed());
        listeners.push(inbox);
    }

    pub(crate) fn send(&self, message: &Bytes) {
        let listeners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for listener in listeners.iter() {
            // Dropped when the inbox is full or closed.
            let _ = listener.try_send(message.clone());
        }
    }
}
