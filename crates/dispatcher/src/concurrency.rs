//! How many messages of a queue are in memory, and whose slots they take.
//!
//! A slot is held during the call only, and granted by the limiter together with the target's permit.
//! What waits (for a slot, for its target, for its record and settlement) holds none; the consumer's
//! prefetch bounds how much waits.

use crate::metrics::DispatcherMetrics;
use crate::queue::WorkQueue;
use contract::Message;
use std::sync::Arc;

/// An attempt in flight, for the metrics. Dropping it ends it, even in a panic.
pub(crate) struct InFlight {
    slots: WorkQueue,
    metrics: Arc<DispatcherMetrics>,
}

impl InFlight {
    pub(crate) fn begin(slots: WorkQueue, metrics: &Arc<DispatcherMetrics>) -> Self {
        metrics.attempts_in_flight(slots, 1);
        Self {
            slots,
            metrics: Arc::clone(metrics),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.attempts_in_flight(self.slots, -1);
    }
}

/// Whose slots a message takes: those of first attempts if it is one, even if it returns through the
/// retry queue because it was deferred or delayed. Otherwise a burst that was deferred would be
/// delivered at the pace of retries while the slots of first attempts are idle.
pub(crate) fn slots_of(message: &Message, queue: WorkQueue) -> WorkQueue {
    let is_first = message.attempt == 1 && message.generation == 0;
    if is_first { WorkQueue::First } else { queue }
}

/// The prefetch of the two queues, by the concurrency of first attempts and retries: the messages
/// whose calls are in flight, a third of the concurrency that may wait for limits (as the limiter
/// allows), and half of it read ahead, so that a free slot never waits for the network. The retry queue
/// also brings first attempts that were deferred.
pub(crate) fn prefetch([first, retry]: [u16; 2]) -> [u16; 2] {
    let window = |concurrency: u16| {
        let waiting = concurrency.div_ceil(3).saturating_add(1);
        let ahead = (concurrency / 2).max(1);
        slots(concurrency)
            .saturating_add(waiting)
            .saturating_add(ahead)
    };
    [window(first), window(retry).saturating_add(slots(first))]
}

/// The most calls in flight at a time, by the same concurrency.
pub(crate) fn max_in_flight([first, retry]: [u16; 2]) -> usize {
    usize::from(slots(first)) + usize::from(slots(retry))
}

/// The slots of a queue: the concurrency, and a third of it for other apps than the busiest.
fn slots(concurrency: u16) -> u16 {
    concurrency.saturating_add(concurrency.div_ceil(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::MetricsRegistry;

    #[test]
    fn an_attempt_in_flight_is_counted_until_it_ends() {
        let registry = MetricsRegistry::new();
        let metrics = Arc::new(registry.add(DispatcherMetrics::register));
        let one_in_flight = || {
            let page = registry.encode();
            page.contains("ringback_attempts_in_flight{queue=\"first\"} 1")
        };
        let attempt = InFlight::begin(WorkQueue::First, &metrics);
        assert!(one_in_flight());
        drop(attempt);
        assert!(!one_in_flight());
    }

    #[test]
    fn the_prefetch_is_more_than_the_slots_and_never_overflows() {
        assert_eq!(prefetch([256, 64]), [557, 483]);
        assert_eq!(max_in_flight([256, 64]), 428);
        assert_eq!(prefetch([1, 1]), [5, 7]);
        assert_eq!(prefetch([u16::MAX, 1])[0], u16::MAX);
    }
}
