//! What has a consumer taken from its lane and not handed out yet?
//!
//! Bodies that must be read from disk are read several at a time: each reading waits for whatever
//! the store does before it, a sync included. One by one, a backlog larger than memory would leave
//! at the rate of syncs.

use super::Asks;
use super::batch::Ask;
use super::index::{Key, Waiting};
use super::table::Stored;
use crate::Lane;
use bytes::Bytes;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// Messages on their way from the lane into somebody's hand, in order.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Kept here, so that a cancelled wait for it loses nothing.
    reading: Option<Reading>,
    ready: VecDeque<Ready>,
}

#[derive(Debug)]
struct Reading {
    asked: Vec<(Key, bool)>,
    stored: oneshot::Receiver<Vec<Option<Stored>>>,
}

/// A message with its body.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) key: Key,
    pub(super) body: Bytes,
    /// Whether it was handed out before.
    pub(super) redelivered: bool,
}

impl Ahead {
    /// The next message, if any was taken; waits for the reading under way.
    pub(super) async fn next(&mut self) -> Option<Ready> {
        if self.ready.is_empty()
            && let Some(reading) = &mut self.reading
        {
            // An error means that the store has ended.
            let stored = (&mut reading.stored).await.unwrap_or_default();
            let asked = self.reading.take().map(|it| it.asked).unwrap_or_default();
            for ((key, redelivered), stored) in asked.into_iter().zip(stored) {
                // What is missing was moved to the delivery limit.
                if let Some(Stored {
                    body, recovered, ..
                }) = stored
                {
                    let redelivered = redelivered || recovered;
                    self.ready.push_back(Ready {
                        key,
                        body,
                        redelivered,
                    });
                }
            }
        }
        self.ready.pop_front()
    }

    /// Notes what was taken: one message with its body, or several without, which are asked for.
    /// Called when nothing is left of what was taken before.
    pub(super) fn take_in(&mut self, taken: Vec<(Key, Waiting)>, lane: Lane, asks: &Asks) {
        let mut asked = Vec::new();
        for (key, Waiting { body, redelivered }) in taken {
            match body {
                Some(body) => self.ready.push_back(Ready {
                    key,
                    body,
                    redelivered,
                }),
                None => asked.push((key, redelivered)),
            }
        }
        if asked.is_empty() {
            return;
        }
        let (reply, stored) = oneshot::channel();
        asks.send(Ask::Read {
            lane,
            keys: asked.iter().map(|(key, _)| *key).collect(),
            reply,
        });
        self.reading = Some(Reading { asked, stored });
    }

    /// Everything that was taken, with whether it had been handed out before.
    pub(super) fn give_back(&mut self) -> Vec<(Key, bool)> {
        let mut keys = self.reading.take().map(|it| it.asked).unwrap_or_default();
        keys.extend(self.ready.drain(..).map(|it| (it.key, it.redelivered)));
        keys
    }
}
