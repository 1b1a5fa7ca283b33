//! The two queues from which attempts are made.

use broker::Queue;

pub(crate) use delivery::limits::WorkQueue;

/// The queue as the broker knows it.
pub(crate) fn broker_queue(queue: WorkQueue) -> Queue {
    match queue {
        WorkQueue::First => Queue::First,
        WorkQueue::Retry => Queue::Retry,
    }
}

/// Its name in logs and metrics.
pub(crate) fn queue_label(queue: WorkQueue) -> &'static str {
    broker_queue(queue).as_str()
}
