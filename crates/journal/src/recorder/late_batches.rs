//! Which batches are late, and whether the spool takes them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

/// How many batches may be in flight. Two, so that one is written while the next is on its way.
pub(super) const MAX_BATCHES_IN_FLIGHT: usize = 2;

/// What the recorder knows of late batches.
#[derive(Debug)]
pub(super) struct LateBatches {
    /// How many batches in flight are late.
    count: watch::Sender<usize>,
    /// How many batches the sink has taken.
    taken: watch::Sender<u64>,
    /// The spool did not take the last batch.
    spool_failing: AtomicBool,
    spool_failures: AtomicU64,
}

impl LateBatches {
    pub(super) fn new() -> Self {
        Self {
            count: watch::Sender::new(0),
            taken: watch::Sender::new(0),
            spool_failing: AtomicBool::new(false),
            spool_failures: AtomicU64::new(0),
        }
    }

    /// Waits until the sink is known to work: no batch in flight is late, or it has taken one after the
    /// first `known`, however long that took. Returns how many it has taken.
    pub(super) async fn sink_works(&self, known: u64) -> u64 {
        let (mut count, mut taken) = (self.count.subscribe(), self.taken.subscribe());
        tokio::select! {
            _ = count.wait_for(|late| *late == 0) => {}
            _ = taken.wait_for(|taken| *taken > known) => {}
        }
        *self.taken.borrow()
    }

    /// How many batches the sink has taken.
    pub(super) fn taken(&self) -> u64 {
        *self.taken.borrow()
    }

    /// The sink took a batch.
    pub(super) fn sink_took(&self) {
        self.taken.send_modify(|taken| *taken += 1);
    }

    /// Waits until every batch that may be in flight is late.
    pub(super) async fn all(&self) {
        let all = |late: &usize| *late >= MAX_BATCHES_IN_FLIGHT;
        let _ = self.count.subscribe().wait_for(all).await;
    }

    /// Whether neither the sink nor the spool takes records: waiting for one would be in vain.
    pub(super) fn is_stuck(&self) -> bool {
        self.spool_failing.load(Ordering::Relaxed) && *self.count.borrow() >= MAX_BATCHES_IN_FLIGHT
    }

    /// The spool took a batch. Returns whether it did not take the one before.
    pub(super) fn spool_took(&self) -> bool {
        self.spool_failing.swap(false, Ordering::Relaxed)
    }

    /// The spool did not take a batch. Returns whether it took the one before.
    pub(super) fn spool_failed(&self) -> bool {
        self.spool_failures.fetch_add(1, Ordering::Relaxed);
        !self.spool_failing.swap(true, Ordering::Relaxed)
    }

    /// How often a batch could not be spooled.
    pub(super) fn spool_failures(&self) -> u64 {
        self.spool_failures.load(Ordering::Relaxed)
    }

    /// A batch is late until the guard is dropped.
    pub(super) fn begin(&self) -> LateBatch<'_> {
        self.count.send_modify(|late| *late += 1);
        LateBatch(&self.count)
    }
}

/// Counts one batch as late until it is dropped.
pub(super) struct LateBatch<'a>(&'a watch::Sender<usize>);

impl Drop for LateBatch<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|late| *late -= 1);
    }
}
