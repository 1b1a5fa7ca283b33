//! Messages that wait in memory for a permit of one target.

use crate::queue::WorkQueue;
use delivery::limits::{TargetLimits, Ticket};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::oneshot;

/// Waiters by queue, each in order of arrival: their ids grow.
pub(super) struct WaitQueue<T>([VecDeque<Waiter<T>>; 2]);

/// Waits for a `T`.
pub(super) struct Waiter<T> {
    pub(super) id: u64,
    pub(super) ticket: Ticket,
    pub(super) limits: TargetLimits,
    /// Since the start of the limiter. No permit before it.
    pub(super) not_before: Duration,
    pub(super) result: oneshot::Sender<T>,
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        Self([VecDeque::new(), VecDeque::new()])
    }
}

/// The index of a queue in arrays by queue.
pub(super) fn index(queue: WorkQueue) -> usize {
    match queue {
        WorkQueue::First => 0,
        WorkQueue::Retry => 1,
    }
}

impl<T> WaitQueue<T> {
    pub(super) fn push_back(&mut self, waiter: Waiter<T>) {
        self.0[index(waiter.ticket.queue())].push_back(waiter);
    }

    pub(super) fn push_front(&mut self, waiter: Waiter<T>) {
        self.0[index(waiter.ticket.queue())].push_front(waiter);
    }

    /// Takes the waiter that arrived first, from the queues that are not `blocked`.
    pub(super) fn pop_first(&mut self, blocked: [bool; 2]) -> Option<Waiter<T>> {
        let first = |at: usize| {
            let waiter = self.0[at].front().filter(|_| !blocked[at]);
            waiter.map(|waiter| waiter.id)
        };
        let at = match (first(0), first(1)) {
            (Some(one), Some(other)) => usize::from(other < one),
            (Some(_), None) => 0,
            (None, Some(_)) => 1,
            (None, None) => return None,
        };
        self.0[at].pop_front()
    }

    /// Removes a waiter, if it still waits.
    pub(super) fn remove(&mut self, id: u64) -> Option<Waiter<T>> {
        self.0.iter_mut().find_map(|queue| {
            let at = queue.binary_search_by_key(&id, |waiter| waiter.id).ok()?;
            queue.remove(at)
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(VecDeque::is_empty)
    }
}
