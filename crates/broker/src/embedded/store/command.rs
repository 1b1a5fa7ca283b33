//! The commands to the store's thread.

use super::schema::StoredBody;
use crate::embedded::clock::StoreClock;
use crate::embedded::queue::index::MessageKey;
use crate::embedded::queue::lease_table::DroppedLease;
use crate::message::{BrokerMessage, Queue, Route};
use crate::publish_error::PublishError;
use std::sync::mpsc::Sender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Sends commands to the store's thread.
#[derive(Clone, Debug)]
pub(in crate::embedded) struct StoreHandle {
    commands: Sender<StoreCommand>,
    clock: StoreClock,
}

impl StoreHandle {
    pub(in crate::embedded) const fn new(
        commands: Sender<StoreCommand>,
        clock: StoreClock,
    ) -> Self {
        Self { commands, clock }
    }

    pub(in crate::embedded) fn clock(&self) -> StoreClock {
        self.clock.clone()
    }

    /// Now on the store's clock, in Unix ms.
    pub(in crate::embedded) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Returns whether the thread is running. If it is not, the command is dropped together with
    /// its reply channel, which ends the wait for a reply.
    pub(in crate::embedded) fn send(&self, command: StoreCommand) -> bool {
        self.commands.send(command).is_ok()
    }
}

#[derive(Debug)]
pub(in crate::embedded) enum StoreCommand {
    Publish {
        message: NewMessage,
        reply: oneshot::Sender<Result<(), PublishError>>,
    },
    /// Removes a message and stores its follow-up. Never refused: retried until it is done.
    Settle {
        queue: Queue,
        number: i64,
        follow_up: Option<NewMessage>,
        done: Option<oneshot::Sender<()>>,
    },
    /// Reads bodies. A message from before this process started is counted as delivered first.
    ReadBodies {
        queue: Queue,
        keys: Vec<MessageKey>,
        reply: oneshot::Sender<Vec<Option<StoredBody>>>,
    },
    /// A message was dropped unsettled. The thread keeps it for a pause, and then redelivers it.
    Dropped(DroppedLease),
    /// Counts the delivery of a dropped message and returns it to its queue.
    Redeliver {
        queue: Queue,
        key: MessageKey,
        /// Its place in the prefetch window, given back with this command.
        _permit: OwnedSemaphorePermit,
    },
    /// Removes the delayed and due messages with this id and a number below `below` from the retry
    /// queue, unless they are taken. Answers with their number.
    RemoveWaiting {
        id: String,
        below: i64,
        reply: oneshot::Sender<u32>,
    },
    /// Loads the next page of a queue's index.
    LoadPage {
        queue: Queue,
    },
    /// Answered when every earlier command is durable.
    Flush {
        done: oneshot::Sender<()>,
    },
    Stop {
        done: oneshot::Sender<()>,
    },
}

/// A message to be stored in a queue.
#[derive(Debug)]
pub(in crate::embedded) struct NewMessage {
    pub(super) queue: Queue,
    /// Unix ms.
    pub(super) due: u64,
    /// The time from the decision to `due`, in ms.
    pub(super) delay: u64,
    pub(super) message: BrokerMessage,
    /// It may be a new callback, which is refused while the disk is low on space.
    pub(in crate::embedded) is_callback: bool,
}

impl NewMessage {
    /// A message that is published at `now`, Unix ms.
    pub(in crate::embedded) fn new(route: &Route, message: BrokerMessage, now: u64) -> Self {
        let (queue, delay) = match route {
            Route::First => (Queue::First, 0),
            Route::Record => (Queue::Journal, 0),
            Route::Terminal(queue) => (*queue, 0),
            Route::Later(delay) => {
                // Never early: round up a fraction of a millisecond, once in the delay and once in
                // `now`, which is truncated to whole milliseconds.
                let round_up =
                    u64::from(delay.subsec_nanos() % 1_000_000 > 0) + u64::from(!delay.is_zero());
                let wait = u64::try_from(delay.as_millis())
                    .unwrap_or(u64::MAX)
                    .saturating_add(round_up);
                (Queue::Retry, wait)
            }
        };
        // SQLite's integers are signed.
        let due = now.saturating_add(delay).min(i64::MAX.unsigned_abs());
        Self {
            queue,
            due,
            delay,
            message,
            is_callback: matches!(route, Route::First | Route::Later(_)),
        }
    }

    /// How many bytes it takes on the disk, roughly and not too few: a page for its row and the
    /// index, and the pages of its body.
    pub(super) const fn stored_bytes(&self) -> u64 {
        4_096 + self.message.body.len() as u64
    }
}
