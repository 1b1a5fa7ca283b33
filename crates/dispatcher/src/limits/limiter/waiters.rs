//! Messages that wait in memory for a permit: for a slot, for their target, or for their turn by the
//! rate.

use crate::limits::turn_queue::{Subqueue, TurnQueue};
use crate::queue::WorkQueue;
use delivery::limits::{Place, TargetId, TargetLimits, Ticket};
use std::collections::HashMap;
use tokio::sync::oneshot;

/// All that wait. Adding, finding and removing one costs no more than the logarithm of their number.
pub(super) struct Waiters<T> {
    by_id: HashMap<u64, Waiter<T>>,
    next_id: u64,
    for_target: HashMap<TargetId, TurnQueue>,
    for_slot: TurnQueue,
}

/// Waits for a `T`.
pub(super) struct Waiter<T> {
    pub(super) ticket: Ticket,
    pub(super) limits: TargetLimits,
    pub(super) app_cap: Option<u32>,
    pub(super) result: oneshot::Sender<T>,
}

/// The index of a queue in arrays by queue.
pub(super) fn index(queue: WorkQueue) -> usize {
    match queue {
        WorkQueue::First => 0,
        WorkQueue::Retry => 1,
    }
}

fn subqueue_of(ticket: &Ticket) -> Subqueue {
    Subqueue {
        app: ticket.app(),
        queue: ticket.queue(),
    }
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self {
            by_id: HashMap::new(),
            next_id: 0,
            for_target: HashMap::new(),
            for_slot: TurnQueue::default(),
        }
    }
}

impl<T> Waiters<T> {
    /// Adds a waiter; returns its id.
    pub(super) fn add(&mut self, waiter: Waiter<T>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.put(id, waiter);
        id
    }

    /// Puts a waiter where its ticket says. One that waits for its turn by the rate is in no queue:
    /// it asks by itself.
    pub(super) fn put(&mut self, id: u64, waiter: Waiter<T>) {
        let ticket = &waiter.ticket;
        let subqueue = subqueue_of(ticket);
        match ticket.place() {
            Place::Target { turn: None, .. } => {
                let queue = self.for_target.entry(ticket.target()).or_default();
                queue.push(subqueue, id);
            }
            Place::Target { turn: Some(_), .. } => {}
            Place::Slot { .. } => self.for_slot.push(subqueue, id),
        }
        self.by_id.insert(id, waiter);
    }

    /// Takes a waiter that was popped, or is in no queue.
    pub(super) fn take(&mut self, id: u64) -> Option<Waiter<T>> {
        self.by_id.remove(&id)
    }

    /// Removes a waiter from wherever it is.
    pub(super) fn remove(&mut self, id: u64) -> Option<Waiter<T>> {
        let waiter = self.by_id.remove(&id)?;
        let (subqueue, target) = (subqueue_of(&waiter.ticket), waiter.ticket.target());
        match waiter.ticket.place() {
            Place::Target { turn: None, .. } => {
                if let Some(queue) = self.for_target.get_mut(&target) {
                    queue.remove(subqueue, id);
                    if queue.is_empty() {
                        self.for_target.remove(&target);
                    }
                }
            }
            Place::Target { turn: Some(_), .. } => {}
            Place::Slot { .. } => self.for_slot.remove(subqueue, id),
        }
        Some(waiter)
    }

    /// Whether a waiter waits for its turn by the rate.
    pub(super) fn waits_for_its_turn(&self, id: u64) -> bool {
        let waiter = self.by_id.get(&id);
        waiter.is_some_and(|waiter| {
            matches!(waiter.ticket.place(), Place::Target { turn: Some(_), .. })
        })
    }

    /// The next in turn of those that wait for this target, from the queues that are not `blocked`.
    pub(super) fn pop_for_target(
        &mut self,
        target: TargetId,
        blocked: [bool; 2],
    ) -> Option<(Subqueue, u64)> {
        let queue = self.for_target.get_mut(&target)?;
        let popped = queue.pop(|subqueue, _| !blocked[index(subqueue.queue)]);
        if queue.is_empty() {
            self.for_target.remove(&target);
        }
        popped
    }

    /// The subqueue that was popped last, and got nothing, keeps its turn.
    pub(super) fn keep_turn(&mut self, target: TargetId, subqueue: Subqueue) {
        if let Some(queue) = self.for_target.get_mut(&target) {
            queue.keep_turn(subqueue);
        }
    }

    /// The next in turn of those that wait for a slot, of the subqueues for which there is one.
    pub(super) fn pop_for_slot(
        &mut self,
        is_free: impl Fn(Subqueue, Option<u32>) -> bool,
    ) -> Option<u64> {
        let Self {
            by_id, for_slot, ..
        } = self;
        let popped = for_slot.pop(|subqueue, id| {
            let app_cap = by_id.get(&id).and_then(|waiter| waiter.app_cap);
            is_free(subqueue, app_cap)
        });
        popped.map(|(_, id)| id)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty() && self.for_target.is_empty() && self.for_slot.is_empty()
    }
}
