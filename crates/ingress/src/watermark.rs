//! Tracks up to what time the journal is complete, which decides when an unknown id is a 404.
//!
//! An accepted callback is never answered 404. Its record travels from the recorder of the accepting
//! process through the journal's queue into the journal. A 404 requires that no record of the id can
//! still be in transit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::Depths;
use contract::duration_ms;
use journal::Journal;
use runtime::clock::now_ms;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// How long the writer may take to store what it has read from the journal's queue, while the
/// journal is available.
const MAX_WRITE_DELAY: Duration = Duration::from_secs(5);

/// Which records have reached the journal. Times are Unix ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConsistencyView {
    pub(crate) now: u64,
    /// Every record that any process handed over before this time is in the journal. `None`: unknown.
    pub(crate) complete_until: Option<u64>,
    /// When the oldest record in this process's buffer was handed over.
    pub(crate) buffered_since: Option<u64>,
    /// The longest time between the generation of an id and the handover of its record; ms.
    pub(crate) margin: u64,
}

/// Whether there is certainly no callback with this id, given that the journal has none.
pub(crate) fn is_unknown(request_id: Uuid, view: &ConsistencyView) -> bool {
    if request_id.get_version_num() != 7 {
        return true; // All ids of the gateway are of version 7.
    }
    let handed_over = generated_at(request_id).saturating_add(view.margin);
    let buffered = view.buffered_since.is_some_and(|since| handed_over > since);
    let complete = view
        .complete_until
        .is_some_and(|until| handed_over <= until);
    handed_over <= view.now && !buffered && complete
}

/// When a UUID of version 7 was generated: its first 48 bits (RFC 9562, 5.7).
fn generated_at(request_id: Uuid) -> u64 {
    request_id.as_u64_pair().0 >> 16
}

/// Tracks up to what time the journal is complete.
#[derive(Debug)]
pub(crate) struct JournalWatermark {
    /// Unix ms; 0: unknown.
    complete_until: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl JournalWatermark {
    /// Starts tracking. Call it inside a Tokio runtime.
    pub(crate) fn start(journal: Journal, depths: watch::Receiver<Depths>) -> Self {
        let complete_until = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(track(journal, depths, Arc::clone(&complete_until)));
        Self {
            complete_until,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// See [`ConsistencyView::complete_until`].
    pub(crate) fn complete_until(&self) -> Option<u64> {
        let until = self.complete_until.load(Ordering::Relaxed);
        (until > 0).then_some(until)
    }
}

/// Updates the watermark with each observation of the queue depths.
async fn track(
    journal: Journal,
    mut depths: watch::Receiver<Depths>,
    complete_until: Arc<AtomicU64>,
) {
    let mut writer = WriterHistory::default();
    // Ends when the broker is closed.
    while depths.changed().await.is_ok() {
        let observed_at = now_ms();
        // A stale value proves nothing.
        let empty = depths.borrow_and_update().journal.current() == Some(0);
        // The queue is also empty while the writer holds records that it cannot store.
        let available = empty && journal.control_states(&[Uuid::nil()]).await.is_ok();
        if let Some(until) = writer.complete_until(observed_at, empty, available) {
            complete_until.store(until, Ordering::Relaxed);
        }
    }
}

/// Whether the writer could store all that it has read from the journal's queue.
#[derive(Debug, Default)]
struct WriterHistory {
    /// When the journal was last unavailable, Unix ms.
    unavailable_at: Option<u64>,
}

impl WriterHistory {
    /// Up to what time the journal is complete, if this observation proves it.
    fn complete_until(&mut self, now: u64, empty: bool, available: bool) -> Option<u64> {
        if !empty {
            return None;
        }
        if !available {
            self.unavailable_at = Some(now);
            return None;
        }
        let delay = duration_ms(MAX_WRITE_DELAY);
        let recently = |at| now.saturating_sub(at) < delay;
        if self.unavailable_at.is_some_and(recently) {
            return None;
        }
        // Records that the writer has just read are not stored yet.
        Some(now.saturating_sub(delay))
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
    fn an_id_is_unknown_only_when_its_record_cannot_be_in_transit() {
        let complete = ConsistencyView {
            now: NOW,
            complete_until: Some(NOW - 6_000),
            buffered_since: None,
            margin: 5_000,
        };
        let id = |age: u64| id_of(NOW - age);
        for (unknown, age, view) in [
            (true, 60_000, complete),
            (true, 11_000, complete),
            // Possibly handed over after the watermark.
            (false, 10_999, complete),
            (false, 0, complete),
            // A current watermark proves nothing about younger ids.
            (
                false,
                4_999,
                ConsistencyView {
                    complete_until: Some(NOW),
                    ..complete
                },
            ),
            // The queue has never been seen empty.
            (
                false,
                60_000,
                ConsistencyView {
                    complete_until: None,
                    ..complete
                },
            ),
            // This process buffers records younger than the id, then older ones.
            (
                true,
                60_000,
                ConsistencyView {
                    buffered_since: Some(NOW - 55_000),
                    ..complete
                },
            ),
            (
                false,
                60_000,
                ConsistencyView {
                    buffered_since: Some(NOW - 55_001),
                    ..complete
                },
            ),
        ] {
            assert_eq!(is_unknown(id(age), &view), unknown, "{age} {view:?}");
        }
        // From a clock that is ahead.
        assert!(!is_unknown(id_of(NOW + 60_000), &complete));
        // Not ids of the gateway.
        assert!(is_unknown(Uuid::from_u128(7), &complete));
        assert!(is_unknown(Uuid::max(), &complete));
    }

    #[test]
    fn an_id_holds_the_time_of_its_generation() {
        assert_eq!(generated_at(id_of(NOW)), NOW);
    }

    #[test]
    fn an_empty_queue_proves_nothing_while_the_journal_is_unavailable_and_just_after() {
        let mut writer = WriterHistory::default();
        for (second, empty, available, complete) in [
            (0, true, true, true),
            (1, false, false, false),
            (2, true, true, true),
            (3, true, false, false),
            (4, true, true, false),
            (7, true, true, false),
            (8, true, true, true),
        ] {
            let now = NOW + second * 1_000;
            let expected = complete.then(|| now - 5_000);
            let until = writer.complete_until(now, empty, available);
            assert_eq!(until, expected, "after {second} s");
        }
    }
}
