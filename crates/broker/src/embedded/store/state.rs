//! What the store's thread and the consumers share in memory.

use crate::embedded::queue::index::{IndexedMessage, MessageKey, QueueIndex};
use crate::message::Queue;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Bodies read from disk at a time: 16 MiB at the largest body that callers may send.
const MAX_BODIES_PER_READ: usize = 64;

/// The queues as known in memory. The lock is held briefly, never across an await.
#[derive(Debug, Default)]
pub(in crate::embedded) struct QueueStates {
    queues: Mutex<HashMap<Queue, QueueState>>,
    /// Notified when a message may have become due in some queue.
    pub(in crate::embedded) changed: Notify,
}

/// One queue that has a consumer.
#[derive(Debug, Default)]
pub(super) struct QueueState {
    pub(super) index: QueueIndex,
    /// Taken and not yet removed from the disk: a page must not add them again.
    pub(super) taken: HashSet<i64>,
    /// A page was requested and has not been loaded.
    pub(super) loading: bool,
}

impl QueueStates {
    /// The queues that have consumers; a queue without one is not kept in memory.
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Queue, QueueState>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next due message of a queue. If its body must be read from disk, also takes the
    /// following ones whose bodies must be.
    pub(in crate::embedded) fn take(&self, queue: Queue, now: u64) -> TakeResult {
        let mut queues = self.lock();
        let state = queues.entry(queue).or_default();
        // Only retries have delays: a message that was due when it was stored stays due, even if
        // the clock is set back.
        let now = if queue == Queue::Retry { now } else { u64::MAX };
        let mut taken = Vec::new();
        while taken.len() < MAX_BODIES_PER_READ
            && (taken.is_empty() || state.index.next_is_unread())
            && let Some((key, waiting)) = state.index.take_due(now)
        {
            state.taken.insert(key.1);
            let has_body = waiting.body.is_some();
            taken.push((key, waiting));
            if has_body {
                break;
            }
        }
        let wants_page = !state.loading && state.index.wants_page().is_some();
        state.loading |= wants_page;
        TakeResult {
            taken,
            wants_page,
            next_due: state.index.next_due(),
        }
    }

    /// Takes a message out of the queue's order, to remove it. `None`: a consumer has taken it.
    /// Otherwise, whether it was delivered before.
    pub(super) fn reserve(&self, queue: Queue, key: MessageKey) -> Option<bool> {
        let mut queues = self.lock();
        let Some(state) = queues.get_mut(&queue) else {
            return Some(false); // Without a consumer nothing is in memory.
        };
        if !state.taken.insert(key.1) {
            return None;
        }
        let waiting = state.index.remove(key);
        Some(waiting.is_some_and(|waiting| waiting.redelivered))
    }

    /// Returns unsettled messages to the queue; with each, whether it was delivered.
    pub(in crate::embedded) fn put_back(
        &self,
        queue: Queue,
        keys: impl IntoIterator<Item = (MessageKey, bool)>,
    ) {
        let mut queues = self.lock();
        let state = queues.entry(queue).or_default();
        for (key, delivered) in keys {
            state.taken.remove(&key.1);
            state.index.put_back(key, delivered);
        }
        drop(queues);
        self.changed.notify_waiters();
    }
}

/// The result of [`QueueStates::take`].
pub(in crate::embedded) struct TakeResult {
    pub(in crate::embedded) taken: Vec<(MessageKey, IndexedMessage)>,
    /// The consumer must ask the store for a page.
    pub(in crate::embedded) wants_page: bool,
    pub(in crate::embedded) next_due: Option<u64>,
}
