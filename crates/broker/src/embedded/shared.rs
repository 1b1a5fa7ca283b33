//! What do the store's thread and the consumers share?

use super::index::{Index, Key, Waiting};
use crate::Lane;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Bodies read from disk at a time. At the largest body that callers may send, 16 MiB.
const READ_TOGETHER: usize = 64;

/// The lanes as memory knows them. The lock is held for moments, never across an await.
#[derive(Debug, Default)]
pub(super) struct Shared {
    lanes: Mutex<HashMap<Lane, LaneState>>,
    /// Told when a message may have come due in some lane.
    pub(super) news: Notify,
}

/// One lane that is being read.
#[derive(Debug)]
pub(super) struct LaneState {
    pub(super) index: Index,
    /// Handed out and not yet gone from the disk: a page must not bring them again.
    pub(super) in_hand: HashSet<i64>,
    /// A page was asked for and has not come.
    pub(super) loading: bool,
}

impl Default for LaneState {
    fn default() -> Self {
        Self {
            index: Index::new(),
            in_hand: HashSet::new(),
            loading: false,
        }
    }
}

impl Shared {
    /// The lanes that are read; a lane that nobody reads is not here and costs nothing.
    pub(super) fn lanes(&self) -> MutexGuard<'_, HashMap<Lane, LaneState>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next due message of a lane into somebody's hand; where its body must be read from
    /// disk, the ones behind it of which that is true as well.
    pub(super) fn take(&self, lane: Lane, now: u64) -> Take {
        let mut lanes = self.lanes();
        let state = lanes.entry(lane).or_default();
        // Only a delay is waited for: what was due when it came stays due, though the clock be set
        // back.
        let now = if lane == Lane::Retry { now } else { u64::MAX };
        let mut taken = Vec::new();
        while taken.len() < READ_TOGETHER
            && (taken.is_empty() || state.index.next_is_unread())
            && let Some((key, waiting)) = state.index.take_due(now)
        {
            state.in_hand.insert(key.1);
            let read = waiting.body.is_some();
            taken.push((key, waiting));
            if read {
                break;
            }
        }
        let page = if state.loading {
            None
        } else {
            state.index.wants_page()
        };
        state.loading |= page.is_some();
        Take {
            taken,
            wants_page: page.is_some(),
            next_due: state.index.next_due(),
        }
    }

    /// Lets messages that were not settled wait again; with each, whether it was handed out.
    pub(super) fn put_back(&self, lane: Lane, keys: impl IntoIterator<Item = (Key, bool)>) {
        let mut lanes = self.lanes();
        let state = lanes.entry(lane).or_default();
        for (key, handed_out) in keys {
            state.in_hand.remove(&key.1);
            state.index.put_back(key, handed_out);
        }
        drop(lanes);
        self.news.notify_waiters();
    }
}

/// The answer to a consumer that asked for the next message.
pub(super) struct Take {
    pub(super) taken: Vec<(Key, Waiting)>,
    /// The asker must ask the store for a page.
    pub(super) wants_page: bool,
    pub(super) next_due: Option<u64>,
}
