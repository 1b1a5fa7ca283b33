//! Metrics of recording.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use runtime::metrics::{Labeled, Registry, add};

/// Metrics of recording. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RecordingMetrics {
    up: Arc<Labeled<Gauge>>,
    buffered: Gauge,
    unfinished: Gauge,
    dropped: Counter,
    stored: Counter,
    refused: Counter,
    skipped: Counter,
    unreadable_batches: Counter,
}

impl RecordingMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let up = Labeled::register(
            registry,
            "journal_up",
            "Whether the journal is reachable (1) or not (0)",
            "kind",
            &[],
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
        let mut counter = |name, help| add(registry, name, help, Counter::default());
        Self {
            up: Arc::new(up),
            buffered,
            unfinished,
            dropped: counter(
                "journal_records_dropped",
                "Records dropped because the buffer was full",
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
        }
    }

    /// The journal of this kind is reachable, or is not.
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
    fn what_is_recorded_is_on_the_page() {
        let registry = MetricsRegistry::new();
        let metrics = registry.add(RecordingMetrics::register);
        metrics.set_up("sqlite", true);
        metrics.set_buffered(12);
        metrics.set_unfinished_past_retention(7);
        metrics.set_dropped(3);
        metrics.set_dropped(5);
        metrics.stored(500, 1);
        metrics.skipped(2);
        metrics.unreadable_batch();
        let page = registry.encode();
        for line in [
            "ringback_journal_up{kind=\"sqlite\"} 1",
            "ringback_journal_buffered_records 12",
            "ringback_journal_unfinished_past_retention 7",
            "ringback_journal_records_dropped_total 5",
            "ringback_journal_records_total 500",
            "ringback_journal_refused_total 1",
            "ringback_journal_records_skipped_total 2",
            "ringback_journal_unreadable_batches_total 1",
        ] {
            assert!(
                page.lines().any(|found| found == line),
                "no {line:?} in:\n{page}"
            );
        }
    }
}
