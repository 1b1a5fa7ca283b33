//! What is counted and measured of the journal?

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::by_label::ByLabel;
use super::{Metrics, add};

/// The part of the metrics that tells of the journal.
pub(super) struct JournalMetrics {
    /// There only once it is told: without a journal nothing is down.
    up: ByLabel<Gauge>,
    waiting: Gauge,
    gap: Counter,
    records: Counter,
    refused: Counter,
    cancelled: Counter,
    stale: Counter,
}

impl JournalMetrics {
    pub(super) fn add(all: &mut Registry) -> Self {
        let up = ByLabel::add(
            all,
            "journal_up",
            "Whether the journal is in reach (1) or not (0)",
            "kind",
            &[],
        );
        let waiting = add(
            all,
            "journal_waiting",
            "Records that wait in memory",
            Gauge::default(),
        );
        let mut counter = |name, help| add(all, name, help, Counter::default());
        Self {
            up,
            waiting,
            gap: counter("journal_gap", "Records dropped because the spool was full"),
            records: counter("journal_records", "Records stored in the journal"),
            refused: counter(
                "journal_refused",
                "Records left out because the journal cannot store them",
            ),
            cancelled: counter(
                "cancelled",
                "Messages ended because their caller has withdrawn the callback",
            ),
            stale: counter(
                "stale",
                "Messages ended because a replay has taken their callback over",
            ),
        }
    }
}

impl Metrics {
    /// The journal, of this kind, is in reach, or is not.
    pub fn journal_up(&self, kind: &'static str, up: bool) {
        self.journal.up.with(kind, |gauge| gauge.set(up.into()));
    }

    /// So many records wait in this process's memory.
    pub fn journal_waiting(&self, records: usize) {
        self.journal
            .waiting
            .set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// So many records were dropped since the start of the process.
    pub fn journal_gap(&self, since_start: u64) {
        let known = self.journal.gap.get();
        self.journal.gap.inc_by(since_start.saturating_sub(known));
    }

    /// So many more records are stored.
    pub fn journal_records(&self, more: usize) {
        self.journal
            .records
            .inc_by(u64::try_from(more).unwrap_or_default());
    }

    /// So many more records were left out: the journal cannot store them.
    pub fn journal_refused(&self, more: usize) {
        self.journal
            .refused
            .inc_by(u64::try_from(more).unwrap_or_default());
    }

    /// A message was ended: its callback is withdrawn.
    pub fn cancelled(&self) {
        self.journal.cancelled.inc();
    }

    /// A message was ended: a replay has taken its callback over.
    pub fn stale(&self) {
        self.journal.stale.inc();
    }
}
