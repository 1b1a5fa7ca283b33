//! Messages that a consumer has taken from its queue and not delivered yet.
//!
//! Bodies that must be read from disk are read several at a time: each read waits for what the
//! store does before it, a sync included. Read one by one, a backlog larger than memory would leave
//! at the rate of syncs.

use super::index::{IndexedMessage, MessageKey};
use crate::embedded::store::command::{StoreCommand, StoreHandle};
use crate::embedded::store::schema::StoredBody;
use crate::message::Queue;
use bytes::Bytes;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Messages between their queue and their delivery, in order.
#[derive(Debug, Default)]
pub(super) struct PrefetchBuffer {
    /// Kept here, so that cancelling the wait for it loses nothing.
    reading: Option<PendingRead>,
    ready: VecDeque<ReadyMessage>,
}

/// A read in progress.
#[derive(Debug)]
struct PendingRead {
    /// With each key, whether the message was delivered before.
    keys: Vec<(MessageKey, bool)>,
    bodies: oneshot::Receiver<Vec<Option<StoredBody>>>,
}

/// A message with its body.
#[derive(Debug)]
pub(super) struct ReadyMessage {
    pub(super) key: MessageKey,
    pub(super) body: Bytes,
    /// Whether it was delivered before.
    pub(super) redelivered: bool,
    /// Of an unreadable message: its headers, a JSON object.
    pub(super) headers: Option<String>,
}

impl PrefetchBuffer {
    /// The next message, if any was taken; waits for the read in progress.
    pub(super) async fn next(&mut self) -> Option<ReadyMessage> {
        if self.ready.is_empty()
            && let Some(reading) = &mut self.reading
        {
            // An error means that the store has ended.
            let bodies = (&mut reading.bodies).await.unwrap_or_default();
            let keys = self.reading.take().map(|reading| reading.keys);
            for ((key, redelivered), stored) in keys.unwrap_or_default().into_iter().zip(bodies) {
                // What is missing was moved to the delivery-limit queue.
                if let Some(stored) = stored {
                    self.ready.push_back(ReadyMessage {
                        key,
                        body: stored.body,
                        redelivered: redelivered || stored.recovered,
                        headers: stored.headers,
                    });
                }
            }
        }
        self.ready.pop_front()
    }

    /// Adds what was taken: one message with its body, or several without, whose bodies are then
    /// requested. Called when the buffer is empty.
    pub(super) fn fill(
        &mut self,
        taken: Vec<(MessageKey, IndexedMessage)>,
        queue: Queue,
        store: &StoreHandle,
    ) {
        let mut keys = Vec::new();
        for (key, IndexedMessage { body, redelivered }) in taken {
            match body {
                Some(body) => self.ready.push_back(ReadyMessage {
                    key,
                    body,
                    redelivered,
                    headers: None,
                }),
                None => keys.push((key, redelivered)),
            }
        }
        if keys.is_empty() {
            return;
        }
        let (reply, bodies) = oneshot::channel();
        store.send(StoreCommand::ReadBodies {
            queue,
            keys: keys.iter().map(|(key, _)| *key).collect(),
            reply,
        });
        self.reading = Some(PendingRead { keys, bodies });
    }

    /// Removes and returns everything, with whether it had been delivered before.
    pub(super) fn drain(&mut self) -> Vec<(MessageKey, bool)> {
        let reading = self.reading.take().map(|reading| reading.keys);
        let mut keys = reading.unwrap_or_default();
        let ready = self.ready.drain(..);
        keys.extend(ready.map(|message| (message.key, message.redelivered)));
        keys
    }
}
