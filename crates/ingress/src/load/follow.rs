//! Reads the journal's counts each second, and publishes what admission uses.
//!
//! A journal that answers may lack what was accepted: its writers may be unable to write. While this
//! process's own records are not stored, a reading says less than is known, and the last one holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use journal::{JournalHandle, UnfinishedCounts};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{BrokerLoad, LoadTracker, MAX_APPS};
use crate::metrics::IngressMetrics;

const INTERVAL: Duration = Duration::from_secs(1);

/// How often the apps with series of their own are chosen, in intervals.
const CHOICE_SECONDS: u64 = 10;

/// A slower answer is none: the last reading holds.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// After so many intervals a record must be stored.
const MAX_INTERVALS: usize = 6;

/// Whether the counts are read, as the log tells.
#[derive(Debug, Default)]
struct Reading {
    /// The counts were read at least once.
    begun: bool,
    /// The last reading failed.
    failed: bool,
    /// Readings that failed before the first one.
    failures: usize,
}

/// What the log tells of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReadingNews {
    /// There are no counts, for longer than a start takes.
    NotBegun,
    /// The last counts hold.
    Failed,
    Again,
}

impl Reading {
    /// Adds a reading. At the first start the tables are made while this begins: that is no fault.
    fn add(&mut self, failed: bool) -> Option<ReadingNews> {
        let before = std::mem::replace(&mut self.failed, failed);
        if !self.begun && failed {
            self.failures += 1;
            return (self.failures == MAX_INTERVALS).then_some(ReadingNews::NotBegun);
        }
        let told = self.begun || self.failures >= MAX_INTERVALS;
        self.begun = true;
        match (before, failed) {
            (false, true) => Some(ReadingNews::Failed),
            (true, false) if told => Some(ReadingNews::Again),
            (true, _) | (false, false) => None,
        }
    }
}

/// Follows the broker and the journal until it is dropped. Without a journal there are no figures of
/// apps.
pub(crate) async fn follow(
    tracker: Arc<LoadTracker>,
    journal: Option<JournalHandle>,
    metrics: Arc<IngressMetrics>,
) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reading = Reading::default();
    let mut seconds: u64 = 0;
    // The number of this process's newest record, in the last intervals.
    let mut numbers = VecDeque::with_capacity(MAX_INTERVALS + 1);
    loop {
        ticks.tick().await;
        seconds += 1;
        if seconds.is_multiple_of(CHOICE_SECONDS) {
            metrics.choose_apps();
        }
        let broker = BrokerLoad::of(&tracker.depths.borrow());
        tracker.with(|state| state.observe(&broker, tracker.now()));
        let Some(journal) = &journal else {
            continue;
        };
        let begun = tracker.now();
        numbers.push_back(journal.recorder.last_number());
        let must_be_stored = match numbers.len() > MAX_INTERVALS {
            true => numbers.pop_front().unwrap_or_default(),
            false => 0,
        };
        let read = timeout(READ_TIMEOUT, read(journal, must_be_stored)).await;
        let failed = match read {
            Ok(Ok(counts)) => {
                let broker = BrokerLoad::of(&tracker.depths.borrow());
                let now = tracker.now();
                tracker.with(|state| state.read(counts, &broker, begun, now));
                None
            }
            Ok(Err(error)) => Some(error),
            Err(_) => Some("it did not answer in time".to_owned()),
        };
        let is_stale = failed.is_some();
        let error = failed.unwrap_or_default();
        match reading.add(is_stale) {
            Some(ReadingNews::NotBegun) => {
                tracing::warn!(
                    error,
                    "unfinished callbacks of apps not read since the start"
                );
            }
            Some(ReadingNews::Failed) => tracing::warn!(
                error,
                "unfinished callbacks of apps not read; the last counts hold"
            ),
            Some(ReadingNews::Again) => {
                tracing::info!("unfinished callbacks of apps are read again");
            }
            None => {}
        }
        let now = tracker.now();
        let (samples, stale_messages) = tracker.with(|state| (state.samples(now), state.stale));
        metrics.publish_apps(samples, is_stale, stale_messages);
    }
}

/// The counts, if they hold what this process recorded up to the number `must_be_stored`.
async fn read(journal: &JournalHandle, must_be_stored: u64) -> Result<UnfinishedCounts, String> {
    let JournalHandle {
        journal, recorder, ..
    } = journal;
    let own = journal.recorder(recorder.info().id).await;
    let own = own.map_err(|error| error.to_string())?;
    let stored = own.map_or(0, |own| own.last_number());
    if stored < must_be_stored {
        return Err(format!(
            "records of this process are not written: {stored} of {must_be_stored}"
        ));
    }
    let counts = journal.unfinished(MAX_APPS).await;
    counts.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_before_the_tables_are_there_is_no_fault_unless_it_lasts() {
        let told = |readings: &[bool]| -> Vec<Option<ReadingNews>> {
            let mut reading = Reading::default();
            readings.iter().map(|failed| reading.add(*failed)).collect()
        };
        assert_eq!(told(&[true, true, false, false]), [None; 4]);
        let (again, failed) = (Some(ReadingNews::Again), Some(ReadingNews::Failed));
        assert_eq!(
            told(&[true, false, true, true, false]),
            [None, None, failed, None, again]
        );
        let lasting = told(&[true, true, true, true, true, true, true, false]);
        assert_eq!(lasting[..5], [None; 5]);
        assert_eq!(lasting[5..], [Some(ReadingNews::NotBegun), None, again]);
    }
}
