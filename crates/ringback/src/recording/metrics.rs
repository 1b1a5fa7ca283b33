//! Metrics of recording.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use dispatcher::deferral_reasons;
use journal::UnfinishedStates;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::metrics::{Labeled, Registry, add, add_seconds};

/// Metrics of recording. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RecordingMetrics {
    up: Arc<Labeled<Gauge>>,
    buffered: Gauge,
    held_batches: Gauge,
    oldest_unwritten: Gauge<f64, AtomicU64>,
    write_failures: Counter,
    unsettled_recorders: Gauge,
    recorders_lost: Counter,
    unfinished: Gauge,
    dropped: Counter,
    stored: Counter,
    refused: Counter,
    skipped: Counter,
    unreadable_batches: Counter,
    unaccounted: Counter,
    /// By state, and by reason where it is deferred.
    states: Family<[(&'static str, &'static str); 2], Gauge>,
}

impl RecordingMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let up = Labeled::register(
            registry,
            "journal_up",
            "Whether the journal is reachable and takes writes (1) or not (0)",
            "kind",
            [],
        );
        let buffered = add(
            registry,
            "journal_buffered_records",
            "Records buffered in memory",
            Gauge::default(),
        );
        let unfinished = add(
            registry,
            "journal_unfinished_past_retention",
            "Callbacks past journal.retention that have not ended, at most 100000",
            Gauge::default(),
        );
        let held_batches = add(
            registry,
            "journal_held_batches",
            "Batches taken from the journal's queue that are not stored yet",
            Gauge::default(),
        );
        let oldest_unwritten = add_seconds(
            registry,
            "journal_oldest_unwritten_age",
            "Age of the oldest record that this process holds and that is not written",
            Gauge::default(),
        );
        let unsettled_recorders = add(
            registry,
            "journal_unsettled_recorders",
            "Recorders that ended, and of whose records the journal lacks some",
            Gauge::default(),
        );
        let states = add(
            registry,
            "unfinished_callbacks",
            "Unfinished callbacks by state, and by reason where they are deferred, as the journal knows; in one process",
            Family::<[(&str, &str); 2], Gauge>::default(),
        );
        let mut counter = |name, help| add(registry, name, help, Counter::default());
        Self {
            states,
            up: Arc::new(up),
            buffered,
            held_batches,
            oldest_unwritten,
            write_failures: counter(
                "journal_write_failures",
                "Writes to the journal that failed and are tried again",
            ),
            unsettled_recorders,
            recorders_lost: counter(
                "journal_recorders_lost",
                "Recorders taken for ended because nothing of them was stored for too long",
            ),
            unfinished,
            dropped: counter(
                "journal_records_dropped",
                "Records dropped because the buffer was full, or their file in the spool is damaged",
            ),
            stored: counter("journal_records", "Records stored in the journal"),
            refused: counter(
                "journal_refused",
                "Records left out because the journal cannot store them",
            ),
            skipped: counter(
                "journal_records_skipped",
                "Records of a kind that this version does not know",
            ),
            unreadable_batches: counter(
                "journal_unreadable_batches",
                "Batches of records that cannot be decoded",
            ),
            unaccounted: counter(
                "callbacks_unaccounted",
                "Callbacks marked unaccounted: no queue held their message, and no record said how they ended",
            ),
        }
    }

    /// A write failed.
    pub(super) fn write_failed(&self) {
        self.write_failures.inc();
    }

    /// So many batches are taken and not stored, and the oldest unwritten record has this age.
    pub(super) fn set_unwritten(&self, held_batches: usize, oldest: Duration) {
        self.held_batches
            .set(i64::try_from(held_batches).unwrap_or(i64::MAX));
        self.oldest_unwritten.set(oldest.as_secs_f64());
    }

    /// So many recorders ended with something missing.
    pub(super) fn set_unsettled_recorders(&self, recorders: usize) {
        self.unsettled_recorders
            .set(i64::try_from(recorders).unwrap_or(i64::MAX));
    }

    /// A recorder is taken for ended.
    pub(super) fn recorder_lost(&self) {
        self.recorders_lost.inc();
    }

    /// The journal of this kind is reachable and takes writes, or does not.
    pub(super) fn set_up(&self, kind: &'static str, up: bool) {
        self.up.with(kind, |gauge| gauge.set(up.into()));
    }

    /// This many records are buffered in memory.
    pub(super) fn set_buffered(&self, records: usize) {
        self.buffered
            .set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// This many callbacks past their retention have not ended.
    pub(super) fn set_unfinished_past_retention(&self, callbacks: u64) {
        self.unfinished
            .set(i64::try_from(callbacks).unwrap_or(i64::MAX));
    }

    /// This many records were dropped since the start of the process.
    pub(super) fn set_dropped(&self, since_start: u64) {
        let known = self.dropped.get();
        self.dropped.inc_by(since_start.saturating_sub(known));
    }

    /// This many more records are stored, and this many left out.
    pub(super) fn stored(&self, stored: usize, left_out: usize) {
        self.stored
            .inc_by(u64::try_from(stored).unwrap_or_default());
        self.refused
            .inc_by(u64::try_from(left_out).unwrap_or_default());
    }

    /// This many records of a batch are of an unknown kind.
    pub(super) fn skipped(&self, records: usize) {
        self.skipped
            .inc_by(u64::try_from(records).unwrap_or_default());
    }

    /// This many more callbacks are unaccounted.
    pub(super) fn unaccounted(&self, callbacks: u64) {
        self.unaccounted.inc_by(callbacks);
    }

    /// The unfinished callbacks are in these states. `None`: this process does not count them, or cannot.
    pub(super) fn set_states(&self, states: Option<&UnfinishedStates>) {
        let Some(states) = states else {
            self.states.clear();
            return;
        };
        let set = |state, reason, callbacks: u64| {
            let gauge = self
                .states
                .get_or_create_owned(&[("state", state), ("reason", reason)]);
            gauge.set(i64::try_from(callbacks).unwrap_or(i64::MAX));
        };
        set("due", "", states.due);
        set("delayed", "", states.delayed);
        set("retrying", "", states.retrying);
        let mut other: u64 = states.deferred.values().sum();
        for reason in deferral_reasons() {
            let callbacks = states.deferred.get(reason).copied().unwrap_or_default();
            other = other.saturating_sub(callbacks);
            set("deferred", reason, callbacks);
        }
        // Of another version.
        set("deferred", "other", other);
    }

    /// A batch could not be decoded.
    pub(super) fn unreadable_batch(&self) {
        self.unreadable_batches.inc();
    }
}

#[cfg(test)]
mod tests {
    use runtime::MetricsRegistry;

    use super::*;

    #[test]
    fn unfinished_callbacks_are_shown_by_state_while_this_process_counts_them() {
        let registry = MetricsRegistry::new();
        let metrics = registry.add(RecordingMetrics::register);
        let reasons = [("paused", 5), ("a new one", 7)];
        metrics.set_states(Some(&UnfinishedStates {
            due: 1,
            delayed: 2,
            retrying: 3,
            deferred: reasons
                .map(|(reason, count)| (reason.to_owned(), count))
                .into(),
        }));
        let page = registry.encode();
        for (state, reason, count) in [
            ("due", "", 1),
            ("delayed", "", 2),
            ("retrying", "", 3),
            ("deferred", "paused", 5),
            ("deferred", "other", 7),
            ("deferred", "breaker_open", 0),
        ] {
            let labels = format!("state=\"{state}\",reason=\"{reason}\"");
            let line = format!("ringback_unfinished_callbacks{{{labels}}} {count}\n");
            assert!(page.contains(&line), "{line}{page}");
        }
        metrics.set_states(None);
        assert!(!registry.encode().contains("unfinished_callbacks{"));
    }

    #[test]
    fn what_is_recorded_is_on_the_page() {
        let registry = MetricsRegistry::new();
        let metrics = registry.add(RecordingMetrics::register);
        metrics.set_up("sqlite", true);
        metrics.set_buffered(12);
        metrics.write_failed();
        metrics.set_unwritten(6, Duration::from_millis(1_500));
        metrics.set_unsettled_recorders(2);
        metrics.recorder_lost();
        metrics.set_unfinished_past_retention(7);
        metrics.set_dropped(3);
        metrics.set_dropped(5);
        metrics.stored(500, 1);
        metrics.skipped(2);
        metrics.unreadable_batch();
        metrics.unaccounted(4);
        let page = registry.encode();
        for line in [
            "ringback_journal_up{kind=\"sqlite\"} 1",
            "ringback_journal_buffered_records 12",
            "ringback_journal_write_failures_total 1",
            "ringback_journal_held_batches 6",
            "ringback_journal_oldest_unwritten_age_seconds 1.5",
            "ringback_journal_unsettled_recorders 2",
            "ringback_journal_recorders_lost_total 1",
            "ringback_journal_unfinished_past_retention 7",
            "ringback_journal_records_dropped_total 5",
            "ringback_journal_records_total 500",
            "ringback_journal_refused_total 1",
            "ringback_journal_records_skipped_total 2",
            "ringback_journal_unreadable_batches_total 1",
            "ringback_callbacks_unaccounted_total 4",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "no {line:?} in:\n{page}"
            );
        }
    }
}
