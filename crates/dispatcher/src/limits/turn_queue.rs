//! A queue whose subqueues take turns: each app has a subqueue for each work queue, in order of arrival.

use crate::queue::WorkQueue;
use delivery::limits::AppId;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// The subqueue of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Subqueue {
    pub(super) app: AppId,
    pub(super) queue: WorkQueue,
}

/// The ids of waiters, by subqueue. Ids grow in order of arrival.
#[derive(Debug, Default)]
pub(super) struct TurnQueue {
    subqueues: HashMap<Subqueue, BTreeSet<u64>>,
    /// Each subqueue once, the next in turn first. A subqueue that has become empty leaves when its turn comes.
    turns: VecDeque<Subqueue>,
    len: usize,
}

impl TurnQueue {
    /// Adds a waiter to its subqueue, behind those that came before it.
    pub(super) fn push(&mut self, subqueue: Subqueue, id: u64) {
        let Self {
            subqueues,
            turns,
            len,
        } = self;
        let ids = subqueues.entry(subqueue).or_insert_with(|| {
            turns.push_back(subqueue);
            BTreeSet::new()
        });
        *len += usize::from(ids.insert(id));
    }

    /// Takes the first waiter of the subqueue whose turn it is, of those that are `open`, by their first
    /// waiter.
    pub(super) fn pop(&mut self, open: impl Fn(Subqueue, u64) -> bool) -> Option<(Subqueue, u64)> {
        for _ in 0..self.turns.len() {
            let subqueue = self.turns.pop_front()?;
            let Some(ids) = self.subqueues.get_mut(&subqueue) else {
                continue;
            };
            let Some(first) = ids.first().copied() else {
                self.subqueues.remove(&subqueue);
                continue;
            };
            self.turns.push_back(subqueue);
            if open(subqueue, first) {
                ids.remove(&first);
                self.len -= 1;
                return Some((subqueue, first));
            }
        }
        None
    }

    /// The subqueue that was popped last is the next in turn again.
    pub(super) fn keep_turn(&mut self, subqueue: Subqueue) {
        if self.turns.back() == Some(&subqueue) {
            self.turns.rotate_right(1);
        }
    }

    /// Removes a waiter, if it is there.
    pub(super) fn remove(&mut self, subqueue: Subqueue, id: u64) {
        if self
            .subqueues
            .get_mut(&subqueue)
            .is_some_and(|ids| ids.remove(&id))
        {
            self.len -= 1;
        }
        if self.len == 0 {
            *self = Self::default();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delivery::limits::{AdmissionRequest, LimitDecision, Limiter, TargetLimits, Terms};
    use std::time::Duration;

    /// Subqueues of different apps.
    fn subqueues(count: u32) -> Vec<Subqueue> {
        let mut limiter = Limiter::new([1_000, 1_000], 1_000);
        let limits = TargetLimits::default();
        let subqueue = |number: u32| {
            // A permit that is kept keeps its app's id.
            let request = AdmissionRequest {
                app_id: &number.to_string(),
                key: &delivery::limits::LimitKey::Callee(number.to_string().into()),
                queue: WorkQueue::First,
                terms: Terms {
                    limits: &limits,
                    app_cap: None,
                    paused: false,
                },
            };
            let LimitDecision::Admit(permit) = limiter.admit(&request, Duration::ZERO) else {
                panic!("not admitted")
            };
            Subqueue {
                app: permit.app(),
                queue: WorkQueue::First,
            }
        };
        (0..count).map(subqueue).collect()
    }

    fn drain(queue: &mut TurnQueue) -> Vec<u64> {
        let taken = std::iter::from_fn(|| queue.pop(|_, _| true));
        taken.map(|(_, id)| id).collect()
    }

    #[test]
    fn subqueues_take_turns_and_each_keeps_its_order() {
        let subqueues = subqueues(3);
        let mut queue = TurnQueue::default();
        for id in 0..6 {
            queue.push(subqueues[0], id);
        }
        queue.push(subqueues[1], 6);
        queue.push(subqueues[2], 7);
        queue.push(subqueues[1], 8);
        assert_eq!(drain(&mut queue), [0, 6, 7, 1, 8, 2, 3, 4, 5]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_subqueue_that_is_closed_or_got_nothing_keeps_its_turn() {
        let subqueues = subqueues(2);
        let mut queue = TurnQueue::default();
        for id in 0..4 {
            queue.push(subqueues[id % 2], id as u64);
        }
        let closed = subqueues[0];
        assert_eq!(
            queue.pop(|subqueue, _| subqueue != closed),
            Some((subqueues[1], 1))
        );
        assert_eq!(queue.pop(|_, _| true), Some((subqueues[0], 0)));
        let (subqueue, id) = queue.pop(|_, _| true).unwrap();
        queue.push(subqueue, id);
        queue.keep_turn(subqueue);
        assert_eq!(queue.pop(|_, _| true), Some((subqueue, id)));
        assert_eq!(drain(&mut queue), [2]);
    }

    #[test]
    fn a_removed_waiter_leaves_nothing_behind() {
        let subqueues = subqueues(2);
        let mut queue = TurnQueue::default();
        queue.push(subqueues[0], 1);
        queue.push(subqueues[1], 2);
        queue.remove(subqueues[0], 1);
        queue.remove(subqueues[0], 1);
        queue.push(subqueues[0], 3);
        assert_eq!(drain(&mut queue), [3, 2]);
        queue.push(subqueues[0], 4);
        queue.remove(subqueues[0], 4);
        assert!(queue.is_empty() && queue.turns.is_empty() && queue.subqueues.is_empty());
    }
}
