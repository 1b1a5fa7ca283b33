//! Up to what time the journal is complete, as far as can be told from outside its writers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker::Broker;
use contract::duration_ms;
use journal::{Journal, Recorder, RecorderState};
use runtime::clock::now_ms;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// How long the tables must have been writable since the queue of records was empty: the writers,
/// which hold what they have received, have stored it by then.
const QUIET_PERIOD: Duration = Duration::from_secs(30);

/// Watches the way into the journal.
pub(super) struct Completeness {
    /// Unix ms; 0: unknown.
    until: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

impl Completeness {
    /// Starts to watch. The quiet period is no longer than `longest`.
    pub(super) fn watch(
        broker: &Broker,
        journal: Journal,
        recorder: Recorder,
        longest: Duration,
    ) -> Self {
        let until = Arc::new(AtomicU64::new(0));
        let quiet = QUIET_PERIOD.min(longest);
        let task = tokio::spawn(watch(
            broker.clone(),
            journal,
            recorder,
            quiet,
            Arc::clone(&until),
        ));
        Self {
            until,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Every record that was handed over before this time (Unix ms) is in the journal. `None`: unknown.
    pub(super) fn until(&self) -> Option<u64> {
        let until = self.until.load(Ordering::Relaxed);
        (until > 0).then_some(until)
    }
}

async fn watch(
    broker: Broker,
    journal: Journal,
    recorder: Recorder,
    quiet: Duration,
    until: Arc<AtomicU64>,
) {
    let mut depths = broker.depths();
    let mut observations = Observations::default();
    // Ends when the broker is closed.
    while depths.changed().await.is_ok() {
        let now = now_ms();
        let empty = depths.borrow_and_update().journal.current() == Some(0);
        // Marks nothing, but needs the same locks and rights as the writers.
        let writable = journal.mark_unaccounted(&[], now).await.is_ok();
        // What other processes still have in memory.
        let streams = journal.recorders().await;
        let stored = streams.ok().and_then(|recorders| stored_by_all(&recorders));
        let oldest = recorder.oldest_buffered();
        let sent = oldest.is_none_or(|since| since.elapsed() < quiet);
        let sent = sent && !recorder.has_unread_files();
        let observed = Observation {
            at: Instant::now(),
            now,
            empty,
        };
        let complete = observations.add(observed, writable && sent, quiet);
        if let (Some(complete), Some(stored)) = (complete, stored) {
            until.store(complete.min(stored), Ordering::Relaxed);
        }
    }
}

/// Until when the records of every running process are stored (Unix ms), those in a spool left out.
/// `None`: nothing of one of them is stored yet.
fn stored_by_all(recorders: &[RecorderState]) -> Option<u64> {
    let running = recorders.iter().filter(|one| one.ended_at.is_none());
    running
        .map(RecorderState::stored_until)
        .try_fold(u64::MAX, |all, one| Some(all.min(one?)))
}

/// One look at the queue of records.
#[derive(Clone, Copy, Debug)]
struct Observation {
    at: Instant,
    /// Unix ms.
    now: u64,
    empty: bool,
}

/// When the queue was seen empty, since its writers could store what they hold.
#[derive(Debug, Default)]
struct Observations {
    /// Oldest first; at most one a second of the quiet period, and the last one before it.
    empty: VecDeque<Observation>,
}

impl Observations {
    /// Adds an observation. Returns up to what time the journal is complete, if it proves that.
    fn add(&mut self, observed: Observation, writable: bool, quiet: Duration) -> Option<u64> {
        if !writable {
            self.empty.clear();
            return None;
        }
        if observed.empty {
            self.empty.push_back(observed);
        }
        // What the writers had received when the queue was empty has been stored since.
        let is_past = |seen: &Observation| observed.at.saturating_duration_since(seen.at) >= quiet;
        while self.empty.get(1).is_some_and(is_past) {
            self.empty.pop_front();
        }
        let last = self.empty.front().copied().filter(is_past)?;
        Some(last.now.saturating_sub(duration_ms(MAX_HANDOVER)))
    }
}

/// How long a record may be on its way from its maker to the queue.
const MAX_HANDOVER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use journal::{BatchSpan, RecorderInfo};

    use super::*;

    #[test]
    fn a_running_process_whose_records_are_not_stored_bounds_what_is_complete() {
        let recorder = |ended_at, until: Option<u64>| {
            let info = RecorderInfo {
                id: uuid::Uuid::now_v7(),
                accepts: false,
                started_at: 1,
            };
            let mut state = RecorderState::new(info);
            if let Some(until) = until {
                state.add(&BatchSpan {
                    recorder: info,
                    first: 1,
                    last: 1,
                    since: 1,
                    until,
                    closes: false,
                });
            }
            state.ended_at = ended_at;
            state
        };
        for (expected, recorders) in [
            (Some(u64::MAX), vec![]),
            (
                Some(50),
                vec![recorder(None, Some(70)), recorder(None, Some(50))],
            ),
            (
                Some(70),
                vec![recorder(None, Some(70)), recorder(Some(60), Some(50))],
            ),
            (None, vec![recorder(None, Some(70)), recorder(None, None)]),
        ] {
            assert_eq!(stored_by_all(&recorders), expected, "{recorders:?}");
        }
    }

    #[test]
    fn the_journal_is_complete_up_to_an_empty_queue_whose_records_could_be_stored_since() {
        let (start, quiet) = (Instant::now(), Duration::from_secs(3));
        let mut observations = Observations::default();
        for (second, empty, writable, complete) in [
            (0, true, true, None),
            (2, true, true, None),
            (3, true, true, Some(0)),
            (4, false, true, Some(0)),
            (5, false, true, Some(2)),
            (9, false, true, Some(3)),
            // Not everything that was received could be stored.
            (10, true, false, None),
            (11, true, true, None),
            (12, false, true, None),
            (14, false, true, Some(11)),
        ] {
            let observed = Observation {
                at: start + Duration::from_secs(second),
                now: 100_000 + second * 1_000,
                empty,
            };
            let found = observations.add(observed, writable, quiet);
            let expected = complete.map(|second: u64| 99_000 + second * 1_000);
            assert_eq!(found, expected, "{second}");
            assert!(observations.empty.len() <= 4);
        }
    }
}
