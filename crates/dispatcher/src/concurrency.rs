//! Limits the concurrent attempts of a queue.
//!
//! A permit is held during the call only. A message that waits (for its target's limits, or for its
//! record and settlement) holds none; the consumer's prefetch bounds how many wait.

use crate::metrics::DispatcherMetrics;
use crate::queue::WorkQueue;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The concurrency limit of one queue. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ConcurrencyLimit {
    queue: WorkQueue,
    semaphore: Arc<Semaphore>,
    metrics: Arc<DispatcherMetrics>,
}

/// A permit for a call, which can be released and reacquired.
pub(crate) struct ConcurrencyPermit {
    limit: ConcurrencyLimit,
    held: Option<CountedPermit>,
}

/// Released when dropped, even by a panic.
struct CountedPermit {
    _permit: OwnedSemaphorePermit,
    queue: WorkQueue,
    metrics: Arc<DispatcherMetrics>,
}

impl ConcurrencyLimit {
    pub(crate) fn new(queue: WorkQueue, concurrency: u16, metrics: Arc<DispatcherMetrics>) -> Self {
        Self {
            queue,
            semaphore: Arc::new(Semaphore::new(concurrency.into())),
            metrics,
        }
    }

    /// Waits for a free permit, in order of arrival. It counts as an attempt in flight only once it
    /// is assigned to a message.
    pub(crate) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(&self.semaphore).acquire_owned().await.ok()
    }

    /// Assigns a permit to a message.
    pub(crate) fn assign(&self, permit: OwnedSemaphorePermit) -> ConcurrencyPermit {
        ConcurrencyPermit {
            limit: self.clone(),
            held: Some(CountedPermit::new(permit, self)),
        }
    }
}

impl ConcurrencyPermit {
    pub(crate) fn queue(&self) -> WorkQueue {
        self.limit.queue
    }

    /// Waits for a permit, if this one was released.
    pub(crate) async fn reacquire(&mut self) {
        if self.held.is_some() {
            return;
        }
        if let Some(permit) = self.limit.acquire().await {
            self.held = Some(CountedPermit::new(permit, &self.limit));
        }
    }

    pub(crate) fn release(&mut self) {
        self.held = None;
    }
}

impl CountedPermit {
    fn new(permit: OwnedSemaphorePermit, limit: &ConcurrencyLimit) -> Self {
        limit.metrics.attempts_in_flight(limit.queue, 1);
        Self {
            _permit: permit,
            queue: limit.queue,
            metrics: Arc::clone(&limit.metrics),
        }
    }
}

impl Drop for CountedPermit {
    fn drop(&mut self) {
        self.metrics.attempts_in_flight(self.queue, -1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::MetricsRegistry;
    use std::time::Duration;

    fn one_in_flight(registry: &MetricsRegistry) -> bool {
        let page = registry.encode();
        page.contains("ringback_attempts_in_flight{queue=\"first\"} 1")
    }

    #[tokio::test]
    async fn a_released_permit_is_reacquired_in_order_of_arrival() {
        let registry = MetricsRegistry::new();
        let metrics = Arc::new(registry.add(DispatcherMetrics::register));
        let limit = ConcurrencyLimit::new(WorkQueue::First, 1, metrics);
        let permit = limit.acquire().await.unwrap();
        assert!(!one_in_flight(&registry));
        let mut first = limit.assign(permit);
        assert!(one_in_flight(&registry));
        first.reacquire().await; // Does nothing: it already holds one.
        first.release();
        assert!(!one_in_flight(&registry));
        let second = limit.assign(limit.acquire().await.unwrap());
        {
            let mut again = std::pin::pin!(first.reacquire());
            let soon = Duration::from_millis(20);
            assert!(tokio::time::timeout(soon, &mut again).await.is_err());
            drop(second);
            again.await;
        }
        assert!(one_in_flight(&registry));
        drop(first);
        assert!(!one_in_flight(&registry));
    }
}
