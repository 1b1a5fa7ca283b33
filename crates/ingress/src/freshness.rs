//! May a caller be told that there is no such callback?
//!
//! Only when nothing can be on its way into the journal any more: an accepted callback is never
//! denied. Records travel from the recorder of the process that accepted, through the journal's
//! queue, into the journal.

use broker::Depths;
use journal::Journal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::moment::{millis, unix_ms};

/// What was read from the journal's queue is in the journal after so long, once it can be reached.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);

/// What is known about the way into the journal. Moments are Unix ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) now: u64,
    /// Whatever was handed over before this moment, by any process, is in the journal. `None`: that
    /// cannot be said of any moment yet.
    pub(crate) complete_until: Option<u64>,
    /// When the oldest record was handed over that this process still holds.
    pub(crate) held_since: Option<u64>,
    /// From the drawing of an id to the handing over of its record, at most; ms.
    pub(crate) margin: u64,
}

/// Whether there is no callback of this id, once the journal has said that it knows of none.
pub(crate) fn is_unknown(request_id: Uuid, view: &View) -> bool {
    if request_id.get_version_num() != 7 {
        // None that was ever given out.
        return true;
    }
    let recorded = drawn_at(request_id).saturating_add(view.margin);
    let held = view.held_since.is_some_and(|since| recorded > since);
    let complete = view.complete_until.is_some_and(|until| recorded <= until);
    recorded <= view.now && !held && complete
}

/// When a UUID of version 7 was drawn: its first 48 bits (RFC 9562, 5.7).
fn drawn_at(request_id: Uuid) -> u64 {
    request_id.as_u64_pair().0 >> 16
}

/// Watches how far the journal is complete.
#[derive(Debug)]
pub(crate) struct Freshness {
    /// Unix ms; 0: not known.
    complete_until: Arc<AtomicU64>,
    _watching: AbortOnDropHandle<()>,
}

impl Freshness {
    /// Begins to watch. Runs within a tokio runtime.
    pub(crate) fn start(journal: Journal, depths: watch::Receiver<Depths>) -> Self {
        let complete_until = Arc::new(AtomicU64::new(0));
        let watching = tokio::spawn(watch(journal, depths, Arc::clone(&complete_until)));
        Self {
            complete_until,
            _watching: AbortOnDropHandle::new(watching),
        }
    }

    /// See [`View::complete_until`].
    pub(crate) fn complete_until(&self) -> Option<u64> {
        let until = self.complete_until.load(Ordering::Relaxed);
        (until > 0).then_some(until)
    }
}

/// Every look at the queues is a chance to learn that nothing waits there.
async fn watch(
    journal: Journal,
    mut depths: watch::Receiver<Depths>,
    complete_until: Arc<AtomicU64>,
) {
    let mut writer = Writer::default();
    // An error means that the broker is closed.
    while depths.changed().await.is_ok() {
        let looked_at = unix_ms(SystemTime::now());
        let empty = depths.borrow_and_update().journal == 0;
        // The queue is empty too while its reader cannot pass on what it holds.
        let reachable = empty && journal.fates(&[Uuid::nil()]).await.is_ok();
        if let Some(until) = writer.complete_until(looked_at, empty, reachable) {
            complete_until.store(until, Ordering::Relaxed);
        }
    }
}

/// What is known of whoever writes the queue's records into the journal.
#[derive(Debug, Default)]
struct Writer {
    /// The journal was out of reach at this moment, Unix ms.
    hindered_at: Option<u64>,
}

impl Writer {
    /// Until when the journal is complete, if that can be told from this look at it.
    fn complete_until(&mut self, now: u64, empty: bool, reachable: bool) -> Option<u64> {
        if !empty {
            return None;
        }
        if !reachable {
            self.hindered_at = Some(now);
            return None;
        }
        let within = millis(WRITTEN_WITHIN);
        let hindered = |at| now.saturating_sub(at) < within;
        if self.hindered_at.is_some_and(hindered) {
            return None;
        }
        // What the reader has taken a moment ago is not written yet.
        Some(now.saturating_sub(within))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_100_000;

    fn drawn(at: u64) -> Uuid {
        uuid::Builder::from_unix_timestamp_millis(at, &[7; 10]).into_uuid()
    }

    #[test]
    fn an_id_is_unknown_only_when_its_record_cannot_be_on_its_way() {
        let complete = View {
            now: NOW,
            complete_until: Some(NOW - 6_000),
            held_since: None,
            margin: 5_000,
        };
        let id = |age: u64| drawn(NOW - age);
        for (unknown, age, view) in [
            (true, 60_000, complete),
            (true, 11_000, complete),
            // Handed over perhaps after the journal was last complete.
            (false, 10_999, complete),
            (false, 0, complete),
            // A journal that was complete a moment ago, of which nothing follows for younger ones.
            (
                false,
                4_999,
                View {
                    complete_until: Some(NOW),
                    ..complete
                },
            ),
            // The queue has never been seen empty.
            (
                false,
                60_000,
                View {
                    complete_until: None,
                    ..complete
                },
            ),
            // This process holds records that are younger than the id's would be, or not.
            (
                true,
                60_000,
                View {
                    held_since: Some(NOW - 55_000),
                    ..complete
                },
            ),
            (
                false,
                60_000,
                View {
                    held_since: Some(NOW - 55_001),
                    ..complete
                },
            ),
        ] {
            assert_eq!(is_unknown(id(age), &view), unknown, "{age} {view:?}");
        }
        // From a clock that is ahead.
        assert!(!is_unknown(drawn(NOW + 60_000), &complete));
        // Not one of ours.
        assert!(is_unknown(Uuid::from_u128(7), &complete));
        assert!(is_unknown(Uuid::max(), &complete));
    }

    #[test]
    fn an_id_tells_when_it_was_drawn() {
        assert_eq!(drawn_at(drawn(NOW)), NOW);
    }

    #[test]
    fn an_empty_queue_says_nothing_while_its_reader_is_hindered_and_just_after() {
        let mut writer = Writer::default();
        for (second, empty, reachable, complete) in [
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
            let told = writer.complete_until(now, empty, reachable);
            assert_eq!(told, expected, "after {second} s");
        }
    }
}
