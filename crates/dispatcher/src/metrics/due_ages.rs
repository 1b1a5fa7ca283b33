//! How long received messages had been due: what RabbitMQ does not tell of the messages that wait.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use delivery::limits::WorkQueue;

/// The steps of the time that is looked back on.
const STEPS: usize = 15;

/// The greatest age at receipt within the last steps, of each queue. Recording is one atomic.
#[derive(Debug, Default)]
pub(super) struct DueAges([DueAge; 2]);

#[derive(Debug, Default)]
struct DueAge {
    /// The greatest of this step, in ms and one more; 0: none was received.
    greatest: AtomicU64,
    /// Of the steps before, the newest last.
    before: Mutex<VecDeque<u64>>,
}

impl DueAges {
    /// A message was received that had been due for so long.
    pub(super) fn received(&self, queue: WorkQueue, due_for_ms: u64) {
        let value = due_for_ms.saturating_add(1);
        self.of(queue).greatest.fetch_max(value, Ordering::Relaxed);
    }

    /// Ends a step. The greatest age within the last ones; `None`: nothing was received.
    pub(super) fn step(&self, queue: WorkQueue) -> Option<Duration> {
        let age = self.of(queue);
        let newest = age.greatest.swap(0, Ordering::Relaxed);
        let mut before = age.before.lock().unwrap_or_else(PoisonError::into_inner);
        before.push_back(newest);
        if before.len() > STEPS {
            before.pop_front();
        }
        let greatest = before.iter().copied().max().unwrap_or_default();
        greatest.checked_sub(1).map(Duration::from_millis)
    }

    const fn of(&self, queue: WorkQueue) -> &DueAge {
        let [first, retry] = &self.0;
        match queue {
            WorkQueue::First => first,
            WorkQueue::Retry => retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_age_of_the_last_steps_is_known_and_then_nothing_is() {
        let ages = DueAges::default();
        assert_eq!(ages.step(WorkQueue::First), None);
        ages.received(WorkQueue::First, 0);
        assert_eq!(ages.step(WorkQueue::First), Some(Duration::ZERO));
        ages.received(WorkQueue::First, 700);
        ages.received(WorkQueue::First, 30);
        assert_eq!(ages.step(WorkQueue::Retry), None);
        for _ in 0..STEPS {
            let greatest = ages.step(WorkQueue::First);
            assert_eq!(greatest, Some(Duration::from_millis(700)));
        }
        assert_eq!(ages.step(WorkQueue::First), None);
    }
}
