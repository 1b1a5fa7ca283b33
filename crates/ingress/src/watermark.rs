//! Tracks until when nothing waits in the journal's queue, for records of processes that do not number
//! them.
//!
//! A process of 0.2.0 does not tell the journal what it lacks. While such a process may run, an empty
//! queue is the only sign that its records have arrived. It is a condition for a 404, and never enough:
//! what a writer has taken and cannot store is not in the queue either. See `lookup.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::Depths;
use contract::duration_ms;
use runtime::clock::now_ms;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// How long the writer may take to store what it has read from the journal's queue.
const MAX_WRITE_DELAY: Duration = Duration::from_secs(5);

/// Until when the journal's queue was empty. Times are Unix ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueView {
    pub(crate) now: u64,
    /// Everything that was in the queue before this time has been taken from it. `None`: unknown.
    pub(crate) empty_until: Option<u64>,
    /// The longest time between the generation of an id and the handover of its record; ms.
    pub(crate) margin: u64,
}

/// Whether no record of this id can be in the queue.
pub(crate) fn has_left_the_queue(request_id: Uuid, view: &QueueView) -> bool {
    if request_id.get_version_num() != 7 {
        return true; // All ids of the gateway are of version 7.
    }
    let handed_over = journal::generated_at(request_id).saturating_add(view.margin);
    let taken = view.empty_until.is_some_and(|until| handed_over <= until);
    handed_over <= view.now && taken
}

/// Tracks until when the journal's queue was empty.
#[derive(Debug)]
pub(crate) struct QueueWatermark {
    /// Unix ms; 0: unknown.
    empty_until: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl QueueWatermark {
    /// Starts tracking. Call it inside a Tokio runtime.
    pub(crate) fn start(depths: watch::Receiver<Depths>) -> Self {
        let empty_until = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(track(depths, Arc::clone(&empty_until)));
        Self {
            empty_until,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// See [`QueueView::empty_until`].
    pub(crate) fn empty_until(&self) -> Option<u64> {
        let until = self.empty_until.load(Ordering::Relaxed);
        (until > 0).then_some(until)
    }
}

/// Updates the watermark with each observation of the queue depths.
async fn track(mut depths: watch::Receiver<Depths>, empty_until: Arc<AtomicU64>) {
    // Ends when the broker is closed.
    while depths.changed().await.is_ok() {
        // A stale value proves nothing.
        if depths.borrow_and_update().journal.current() == Some(0) {
            let until = now_ms().saturating_sub(duration_ms(MAX_WRITE_DELAY));
            empty_until.store(until, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_100_000;

    fn id_of(at: u64) -> Uuid {
        uuid::Builder::from_unix_timestamp_millis(at, &[7; 10]).into_uuid()
    }

    #[test]
    fn an_id_has_left_the_queue_when_its_record_was_handed_over_before_it_was_empty() {
        let empty = QueueView {
            now: NOW,
            empty_until: Some(NOW - 6_000),
            margin: 5_000,
        };
        let id = |age: u64| id_of(NOW - age);
        for (left, age, view) in [
            (true, 60_000, empty),
            (true, 11_000, empty),
            // Possibly handed over after the watermark.
            (false, 10_999, empty),
            (false, 0, empty),
            // A current watermark proves nothing about younger ids.
            (
                false,
                4_999,
                QueueView {
                    empty_until: Some(NOW),
                    ..empty
                },
            ),
            // The queue has never been seen empty.
            (
                false,
                60_000,
                QueueView {
                    empty_until: None,
                    ..empty
                },
            ),
        ] {
            assert_eq!(has_left_the_queue(id(age), &view), left, "{age} {view:?}");
        }
        // From a clock that is ahead.
        assert!(!has_left_the_queue(id_of(NOW + 60_000), &empty));
        // Not ids of the gateway.
        assert!(has_left_the_queue(Uuid::from_u128(7), &empty));
        assert!(has_left_the_queue(Uuid::max(), &empty));
    }
}
