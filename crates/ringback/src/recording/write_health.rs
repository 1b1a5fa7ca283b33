//! Whether what this process writes to the journal is stored, and the age of what is not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::{Record, Recorder};
use runtime::clock::now_ms;
use tokio::time::Instant;

use super::metrics::RecordingMetrics;

/// Whether writes succeed. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct WriteHealth(Arc<Mutex<Writes>>);

#[derive(Debug)]
struct Writes {
    /// Why the last write failed, and since when none has succeeded.
    failing: Option<(String, Instant)>,
    /// Batches taken from the journal's queue that are not settled.
    held_batches: usize,
    /// When their oldest record was made, Unix ms.
    held_since: Option<u64>,
    own_stream: OwnStream,
}

/// Batches that the writer holds; dropped when they are settled or given back.
#[derive(Debug)]
pub(super) struct HeldBatches(WriteHealth);

impl Drop for HeldBatches {
    fn drop(&mut self) {
        let mut writes = self.0.lock();
        (writes.held_batches, writes.held_since) = (0, None);
    }
}

impl WriteHealth {
    /// `heartbeat`: how often this process's recorder sends a batch at least.
    pub(super) fn new(heartbeat: Duration) -> Self {
        Self(Arc::new(Mutex::new(Writes {
            failing: None,
            held_batches: 0,
            held_since: None,
            own_stream: OwnStream::new(heartbeat),
        })))
    }

    /// The last number of this process's own records that the journal has stored.
    pub(super) fn stored(&self, last_number: u64) {
        self.lock().own_stream.seen(last_number, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, Writes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was stored.
    pub(super) fn succeeded(&self) {
        self.lock().failing = None;
    }

    /// Nothing was stored, for this reason.
    pub(super) fn failed(&self, reason: &str) {
        let mut writes = self.lock();
        let since = writes
            .failing
            .take()
            .map_or_else(Instant::now, |(_, since)| since);
        writes.failing = Some((reason.to_owned(), since));
    }

    /// The writer holds these batches, until the result is dropped.
    pub(super) fn hold(&self, batches: usize, records: &[Record]) -> HeldBatches {
        let mut writes = self.lock();
        writes.held_batches = batches;
        writes.held_since = records.iter().map(|record| record.at).min();
        HeldBatches(self.clone())
    }

    /// What keeps records from being written, for people.
    pub(super) fn problem(&self) -> Option<String> {
        let writes = self.lock();
        if let Some((reason, since)) = &writes.failing {
            let seconds = since.elapsed().as_secs();
            return Some(format!("writes have failed for {seconds} s: {reason}"));
        }
        let seconds = writes.own_stream.stuck(Instant::now())?.as_secs();
        Some(format!(
            "no record of this process has been written for {seconds} s"
        ))
    }

    /// Shows the age of the oldest record of this process that is not written, as far as it knows, and
    /// how many batches it holds.
    pub(super) fn show(&self, recorder: &Recorder, metrics: &RecordingMetrics) {
        let writes = self.lock();
        let held = writes.held_since;
        let held = held.map(|since| Duration::from_millis(now_ms().saturating_sub(since)));
        let buffered = recorder.oldest_buffered().map(|since| since.elapsed());
        let stuck = writes.own_stream.stuck(Instant::now());
        let oldest = held.max(buffered).max(stuck);
        metrics.set_unwritten(writes.held_batches, oldest.unwrap_or_default());
    }
}

/// Follows how much of this process's own records the journal has stored.
#[derive(Debug)]
struct OwnStream {
    /// How long nothing may be stored.
    patience: Duration,
    /// The last number that was stored, and when that was first seen.
    stored: Option<(u64, Instant)>,
}

impl OwnStream {
    /// `heartbeat`: how often a recorder sends a batch at least.
    const fn new(heartbeat: Duration) -> Self {
        Self {
            patience: heartbeat.saturating_add(Duration::from_secs(10)),
            stored: None,
        }
    }

    /// The last number that the journal has stored, as seen at this time.
    fn seen(&mut self, last_number: u64, now: Instant) {
        let known = self.stored.is_some_and(|(number, _)| number == last_number);
        if !known {
            self.stored = Some((last_number, now));
        }
    }

    /// For how long nothing has been stored, if that is too long.
    fn stuck(&self, now: Instant) -> Option<Duration> {
        let (_, since) = self.stored?;
        let age = now.duration_since(since);
        (age > self.patience).then_some(age)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_fail_from_the_first_failure_to_the_next_success() {
        let health = WriteHealth::new(Duration::from_secs(1));
        assert_eq!(health.problem(), None);
        health.failed("read-only");
        health.failed("locked");
        let problem = health.problem().unwrap();
        assert_eq!(problem, "writes have failed for 0 s: locked");
        health.succeeded();
        assert_eq!(health.problem(), None);
    }

    #[test]
    fn a_stream_is_stuck_when_nothing_of_it_is_stored_for_too_long() {
        let mut stream = OwnStream::new(Duration::from_secs(1));
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(stream.stuck(at(60)), None, "nothing is known");
        for (seconds, number, stuck) in [
            (0, 7, None),
            (11, 7, None),
            (12, 7, Some(12)),
            (20, 7, Some(20)),
            (21, 8, None),
            (31, 8, None),
        ] {
            stream.seen(number, at(seconds));
            let expected = stuck.map(Duration::from_secs);
            assert_eq!(stream.stuck(at(seconds)), expected, "{seconds}");
        }
    }
}
