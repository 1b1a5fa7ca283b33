//! How many attempts does a lane make at a time?
//!
//! A slot is for calling. A message that waits (for its place at the target, or for its settlement
//! to be written) gives it back: the consumer's window bounds those.

use boot::Metrics;
use broker::Lane;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The slots of one lane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Slots {
    lane: Lane,
    free: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A slot of a lane, or the right to ask for another one once it is given back.
pub(crate) struct Slot {
    slots: Slots,
    taken: Option<Taken>,
}

/// A taken slot; given back when dropped, by a panic too.
struct Taken {
    _permit: OwnedSemaphorePermit,
    lane: Lane,
    metrics: Arc<Metrics>,
}

impl Slots {
    pub(crate) fn new(lane: Lane, slots: u16, metrics: Arc<Metrics>) -> Self {
        Self {
            lane,
            free: Arc::new(Semaphore::new(slots.into())),
            metrics,
        }
    }

    /// Waits until a slot is free, first come first served.
    pub(crate) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.free).acquire_owned().await.ok()
    }

    /// Takes the free slot for a message.
    pub(crate) fn take(&self, free: OwnedSemaphorePermit) -> Slot {
        Slot {
            slots: self.clone(),
            taken: Some(Taken::new(free, self)),
        }
    }
}

impl Slot {
    pub(crate) fn lane(&self) -> Lane {
        self.slots.lane
    }

    /// Waits for another slot, if this one was given back.
    pub(crate) async fn take_again(&mut self) {
        if self.taken.is_some() {
            return;
        }
        if let Some(free) = self.slots.free().await {
            self.taken = Some(Taken::new(free, &self.slots));
        }
    }

    /// Lets others have it.
    pub(crate) fn give_back(&mut self) {
        self.taken = None;
    }
}

impl Taken {
    fn new(permit: OwnedSemaphorePermit, slots: &Slots) -> Self {
        slots.metrics.in_flight(slots.lane.as_str(), 1);
        Self {
            _permit: permit,
            lane: slots.lane,
            metrics: Arc::clone(&slots.metrics),
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.metrics.in_flight(self.lane.as_str(), -1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_flight(metrics: &Metrics) -> bool {
        metrics
            .encode()
            .contains("ringback_attempts_in_flight{lane=\"first\"} 1")
    }

    #[tokio::test]
    async fn a_slot_that_is_given_back_is_taken_again_in_turn() {
        let metrics = Arc::new(Metrics::new());
        let slots = Slots::new(Lane::First, 1, Arc::clone(&metrics));
        let free = slots.free().await.unwrap();
        assert!(!in_flight(&metrics));
        let mut first = slots.take(free);
        assert!(in_flight(&metrics));
        first.take_again().await; // It has one already.
        first.give_back();
        assert!(!in_flight(&metrics));
        let second = slots.take(slots.free().await.unwrap());
        {
            let mut again = std::pin::pin!(first.take_again());
            let soon = std::time::Duration::from_millis(20);
            assert!(tokio::time::timeout(soon, &mut again).await.is_err());
            drop(second);
            again.await;
        }
        assert!(in_flight(&metrics));
        drop(first);
        assert!(!in_flight(&metrics));
    }
}
