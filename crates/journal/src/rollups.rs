//! What a batch of records adds to the rollups: figures per minute and name. Pure; the adapters store it
//! in the batch's transaction.
//!
//! Nothing is counted twice, because each figure follows from what the writer decides anyway:
//!
//! - *accepted*: a row was inserted.
//! - *delivered*, *dead*: a row was moved. The figures are those of the rows: what a row counted for in
//!   the same generation is taken back, so that the order of records makes no difference. What an
//!   earlier generation counted for stays: a replay begins from a row that has ended.
//! - *failed* and the latency: an attempt was inserted, by its identity.
//! - *deferred*: a deferral leaves no trace of its own. The number of its record, in the stream of its
//!   recorder, was not stored before.
//!
//! A callback counts for its app and for what is called: the target of the caller's URL, or else the
//! callee, as for the limits.

use std::collections::{BTreeMap, BTreeSet};

use contract::CallbackStatus;
use uuid::Uuid;

use crate::column::{END_OF_TIME, bigint};
use crate::merge::CallbackRow;
use crate::model::{
    AttemptRecord, LATENCY_BOUNDS_MS, MAX_ROLLUP_NAMES, MINUTE_MS, OTHER_NAMES, Origin, Record,
    RecordedState, RollupFigures, RollupSubject,
};

/// Columns of figures.
pub(crate) const FIGURES: usize = 6 + LATENCY_BOUNDS_MS.len() + 1;

/// Their names, in the order of [`RollupChange`].
pub(crate) const FIGURE_COLUMNS: [&str; FIGURES] = [
    "accepted",
    "delivered",
    "failed",
    "deferred",
    "dead",
    "duration_ms",
    "to_5ms",
    "to_10ms",
    "to_25ms",
    "to_50ms",
    "to_100ms",
    "to_250ms",
    "to_500ms",
    "to_1s",
    "to_2500ms",
    "to_5s",
    "to_15s",
    "to_60s",
    "longer",
];

const ACCEPTED: usize = 0;
const DELIVERED: usize = 1;
const FAILED: usize = 2;
const DEFERRED: usize = 3;
const DEAD: usize = 4;
const DURATION: usize = 5;
const LATENCY: usize = 6;

/// What kind of name figures are kept for; a number in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RollupKind {
    /// Everything, under an empty name.
    All = 0,
    Callee = 1,
    Target = 2,
    App = 3,
}

impl RollupKind {
    pub(crate) const fn code(self) -> i16 {
        self as i16
    }

    /// The kind and the name of a subject.
    pub(crate) fn of(subject: &RollupSubject) -> (Self, &str) {
        match subject {
            RollupSubject::All => (Self::All, ""),
            RollupSubject::Callee(name) => (Self::Callee, name),
            RollupSubject::Target(name) => (Self::Target, name),
            RollupSubject::App(name) => (Self::App, name),
        }
    }
}

/// The minute and the kind of a row; a row has a name as well. Minutes are the Unix ms of their start.
pub(crate) type MinuteOfKind = (i64, RollupKind);

/// What is added to the figures of one row, in the order of [`FIGURE_COLUMNS`].
pub(crate) type RollupChange = [i64; FIGURES];

/// The key of a row. Rows are written in this order by all writers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RollupKey {
    pub(crate) minute: i64,
    pub(crate) kind: RollupKind,
    pub(crate) name: String,
}

/// What an ended row counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CountedEnd {
    /// Delivered, or else given up.
    pub(crate) delivered: bool,
    /// When it was recorded, Unix ms.
    pub(crate) at: i64,
}

impl CountedEnd {
    pub(crate) fn of(status: CallbackStatus, at: i64) -> Option<Self> {
        match status {
            CallbackStatus::Delivered => Some(Self {
                delivered: true,
                at,
            }),
            CallbackStatus::Dead | CallbackStatus::Expired => Some(Self {
                delivered: false,
                at,
            }),
            CallbackStatus::Queued
            | CallbackStatus::Retrying
            | CallbackStatus::Delivering
            | CallbackStatus::Cancelled
            | CallbackStatus::Unaccounted => None,
        }
    }

    const fn figure(self) -> usize {
        if self.delivered { DELIVERED } else { DEAD }
    }
}

/// A deferral among the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordedDeferral {
    /// Which of the records it is.
    place: usize,
    request_id: Uuid,
    at: u64,
}

/// The deferrals among these records.
pub(crate) fn deferrals(records: &[Record]) -> Vec<RecordedDeferral> {
    let all = records.iter().enumerate();
    let deferred = all.filter(|(_, record)| matches!(record.state, RecordedState::Deferred { .. }));
    deferred
        .map(|(place, record)| RecordedDeferral {
            place,
            request_id: record.origin.request_id,
            at: record.at,
        })
        .collect()
}

/// What the writer did with a row of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowChange {
    Inserted,
    /// It was moved from a state that had counted for this, in the same generation.
    Moved(Option<CountedEnd>),
    /// Another record has won.
    Kept,
}

/// What a batch adds to the rollups.
#[derive(Debug, Default)]
pub(crate) struct RollupChanges(BTreeMap<MinuteOfKind, BTreeMap<String, RollupChange>>);

impl RollupChanges {
    /// The writer has done this with a row.
    pub(crate) fn add_row(&mut self, row: &CallbackRow, change: RowChange) {
        let CallbackRow { origin, state, .. } = row;
        let after = CountedEnd::of(state.status, state.key.updated_at);
        let before = match change {
            RowChange::Kept => return,
            RowChange::Inserted => {
                let accepted_at = bigint(origin.accepted_at);
                match after {
                    // Most callbacks end within the minute, and in the batch that brings them.
                    Some(end) if minute_of(end.at) == minute_of(accepted_at) => {
                        let figures = [(ACCEPTED, 1), (end.figure(), 1)];
                        return self.add(origin, accepted_at, &figures);
                    }
                    Some(_) | None => self.add(origin, accepted_at, &[(ACCEPTED, 1)]),
                }
                None
            }
            RowChange::Moved(before) => before,
        };
        if before == after {
            return;
        }
        for (end, sign) in [(before, -1), (after, 1)] {
            if let Some(end) = end {
                self.add(origin, end.at, &[(end.figure(), sign)]);
            }
        }
    }

    /// An attempt was inserted: by the record of a delivery, or by another one.
    pub(crate) fn add_attempt(
        &mut self,
        origin: &Origin,
        attempt: &AttemptRecord,
        delivered: bool,
    ) {
        let ended_at = attempt.started_at.saturating_add(attempt.duration_ms);
        let bucket = LATENCY_BOUNDS_MS.partition_point(|bound| *bound < attempt.duration_ms);
        // No attempt lasts longer than a day, whatever a clock said.
        let duration = bigint(attempt.duration_ms.min(24 * 60 * MINUTE_MS));
        let figures = [
            (LATENCY + bucket, 1),
            (DURATION, duration),
            (FAILED, i64::from(!delivered)),
        ];
        self.add(origin, bigint(ended_at), &figures);
    }

    /// Counts the deferrals whose records were not stored before. `rows`: those of the batch.
    pub(crate) fn add_deferrals(
        &mut self,
        rows: &BTreeMap<Uuid, CallbackRow>,
        deferrals: &[RecordedDeferral],
        is_new: &[bool],
    ) {
        for deferral in deferrals {
            let is_new = is_new.get(deferral.place).copied().unwrap_or(false);
            if let Some(row) = rows.get(&deferral.request_id).filter(|_| is_new) {
                self.add(&row.origin, bigint(deferral.at), &[(DEFERRED, 1)]);
            }
        }
    }

    fn add(&mut self, origin: &Origin, at: i64, figures: &[(usize, i64)]) {
        let minute = minute_of(at);
        let called = match (&origin.callback_url, &origin.callee_no) {
            (None, Some(callee_no)) => (RollupKind::Callee, callee_no.as_str()),
            (Some(_), _) | (None, None) => (RollupKind::Target, origin.target.as_str()),
        };
        for (kind, name) in [called, (RollupKind::App, origin.app_id.as_str())] {
            let name = if name.is_empty() { OTHER_NAMES } else { name };
            let names = self.0.entry((minute, kind)).or_default();
            let change = match names.get_mut(name) {
                Some(change) => change,
                // PostgreSQL's text cannot hold NUL.
                None => names
                    .entry(name.replace('\0', "\u{fffd}"))
                    .or_insert([0; FIGURES]),
            };
            for (figure, more) in figures {
                if let Some(sum) = change.get_mut(*figure) {
                    *sum = sum.saturating_add(*more);
                }
            }
        }
    }

    /// Everything that counts has an app, so all apps together are everything.
    fn sum_up(&mut self) {
        let mut all: BTreeMap<i64, RollupChange> = BTreeMap::new();
        let apps = self
            .0
            .iter()
            .filter(|((_, kind), _)| *kind == RollupKind::App);
        for ((minute, _), names) in apps {
            let sums = all.entry(*minute).or_insert([0; FIGURES]);
            names.values().for_each(|change| add_to(sums, change));
        }
        for (minute, sums) in all {
            let names = BTreeMap::from([(String::new(), sums)]);
            self.0.insert((minute, RollupKind::All), names);
        }
    }

    /// The rows that change, by their keys.
    pub(crate) fn into_rows(mut self) -> BTreeMap<RollupKey, RollupChange> {
        self.sum_up();
        let names = self.0.into_iter().flat_map(|((minute, kind), names)| {
            names.into_iter().map(move |(name, change)| {
                let key = RollupKey { minute, kind, name };
                (key, change)
            })
        });
        names
            .filter(|(_, change)| change.iter().any(|more| *more != 0))
            .collect()
    }
}

/// Adds a change to another.
fn add_to(sums: &mut RollupChange, more: &RollupChange) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum = sum.saturating_add(*more);
    }
}

/// The start of the minute, Unix ms. What is beyond all ids is not a time.
fn minute_of(at: i64) -> i64 {
    let at = u64::try_from(at).unwrap_or(0).min(END_OF_TIME);
    bigint(at - at % MINUTE_MS)
}

/// Whether a name needs a place of its own among those of its minute.
pub(crate) fn needs_place(key: &RollupKey) -> bool {
    key.kind != RollupKind::All && key.name != OTHER_NAMES
}

/// Gives the new names a place as long as there is one in their minute, those with the most first, and
/// counts the rest together. `taken`: how many names the minutes of the new ones have.
pub(crate) fn place(
    mut rows: BTreeMap<RollupKey, RollupChange>,
    new: &BTreeSet<RollupKey>,
    taken: &BTreeMap<MinuteOfKind, usize>,
) -> BTreeMap<RollupKey, RollupChange> {
    let mut by_minute: BTreeMap<MinuteOfKind, Vec<(u64, &RollupKey)>> = BTreeMap::new();
    for key in new {
        let weight = rows.get(key).map_or(0, weight);
        let names = by_minute.entry((key.minute, key.kind)).or_default();
        names.push((weight, key));
    }
    for (minute, mut names) in by_minute {
        let taken = taken.get(&minute).copied().unwrap_or(0);
        // Stable: those with as much are in the order of their names.
        names.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        for (_, key) in names
            .into_iter()
            .skip(MAX_ROLLUP_NAMES.saturating_sub(taken))
        {
            let Some(change) = rows.remove(key) else {
                continue;
            };
            let others = RollupKey {
                name: OTHER_NAMES.to_owned(),
                ..*key
            };
            add_to(rows.entry(others).or_insert([0; FIGURES]), &change);
        }
    }
    rows
}

/// How much happened: everything but the durations.
fn weight(change: &RollupChange) -> u64 {
    let counts = change.iter().enumerate();
    let counts = counts.filter(|(figure, _)| *figure != DURATION);
    counts.map(|(_, more)| more.unsigned_abs()).sum()
}

/// The figures of a row, or of a sum of rows.
pub(crate) fn figures(columns: RollupChange) -> RollupFigures {
    let [
        accepted,
        delivered,
        failed,
        deferred,
        dead,
        duration_ms,
        latency @ ..,
    ] = columns.map(|column| u64::try_from(column).unwrap_or(0));
    RollupFigures {
        accepted,
        delivered,
        failed,
        deferred,
        dead,
        duration_ms,
        latency,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::rows;

    const AT: u64 = 1_700_000_040_000;

    fn origin(callee_no: Option<&str>, url: Option<&str>) -> Origin {
        Origin {
            request_id: Uuid::nil(),
            app_id: "shop".to_owned(),
            caller_no: None,
            callee_no: callee_no.map(str::to_owned),
            message_type: "m".to_owned(),
            callback_url: url.map(str::to_owned),
            target: "https://x.cn:443".to_owned(),
            accepted_at: AT,
        }
    }

    fn row(state: RecordedState, at: u64) -> CallbackRow {
        let record = Record {
            origin: origin(None, Some("https://x.cn/")),
            generation: 0,
            attempt: 1,
            at,
            state,
            attempted: None,
            hold: 0,
            message: None,
        };
        let merged = rows(&[record]);
        merged.into_values().next().unwrap()
    }

    fn all(changes: RollupChanges) -> BTreeMap<i64, RollupFigures> {
        let rows = changes.into_rows().into_iter();
        let all = rows.filter(|(key, _)| key.kind == RollupKind::All);
        all.map(|(key, change)| (key.minute, figures(change)))
            .collect()
    }

    #[test]
    fn a_callback_counts_for_what_is_called_and_for_its_app() {
        for (callee_no, url, kind, name) in [
            (Some("EO001"), None, RollupKind::Callee, "EO001"),
            (
                None,
                Some("https://x.cn/a"),
                RollupKind::Target,
                "https://x.cn:443",
            ),
            (
                Some("label"),
                Some("https://x.cn/a"),
                RollupKind::Target,
                "https://x.cn:443",
            ),
        ] {
            let mut changes = RollupChanges::default();
            changes.add(
                &origin(callee_no, url),
                bigint(AT + 59_999),
                &[(ACCEPTED, 1)],
            );
            let rows = changes.into_rows();
            let keys: Vec<(RollupKind, &str)> =
                rows.keys().map(|key| (key.kind, &*key.name)).collect();
            let expected = [
                (RollupKind::All, ""),
                (kind, name),
                (RollupKind::App, "shop"),
            ];
            assert_eq!(keys, expected);
            assert!(
                rows.keys()
                    .all(|key| key.minute == bigint(AT - AT % MINUTE_MS))
            );
        }
    }

    #[test]
    fn what_a_row_counted_for_in_its_generation_is_taken_back() {
        let minute = bigint(AT - AT % MINUTE_MS);
        let mut changes = RollupChanges::default();
        let dead = RecordedState::Dead {
            reason: "exhausted".to_owned(),
        };
        changes.add_row(&row(dead, AT), RowChange::Inserted);
        let before = CountedEnd {
            delivered: false,
            at: bigint(AT),
        };
        let delivered = row(RecordedState::Delivered, AT + MINUTE_MS);
        changes.add_row(&delivered, RowChange::Moved(Some(before)));
        changes.add_row(&delivered, RowChange::Kept);
        let all = all(changes);
        assert_eq!((all[&minute].accepted, all[&minute].dead), (1, 0));
        assert_eq!(all[&(minute + 60_000)].delivered, 1);
        // In another generation both count.
        let mut changes = RollupChanges::default();
        changes.add_row(&delivered, RowChange::Moved(None));
        assert_eq!(self::all(changes)[&(minute + 60_000)].delivered, 1);
    }

    #[test]
    fn an_attempt_counts_in_the_minute_of_its_end_and_in_one_bucket() {
        let mut attempt = AttemptRecord {
            generation: 0,
            number: 1,
            run: 1,
            started_at: AT,
            duration_ms: 5,
            outcome: "timeout".to_owned(),
            http_status: None,
            detail: None,
            cause: None,
            answer: None,
        };
        let origin = origin(Some("EO001"), None);
        let mut changes = RollupChanges::default();
        changes.add_attempt(&origin, &attempt, true);
        attempt.duration_ms = 60_001;
        changes.add_attempt(&origin, &attempt, false);
        let all = all(changes);
        let ends: Vec<RollupFigures> = all.into_values().collect();
        assert_eq!(ends.len(), 2);
        assert_eq!(
            (ends[0].latency[0], ends[0].failed, ends[0].duration_ms),
            (1, 0, 5)
        );
        assert_eq!((ends[1].latency[12], ends[1].failed), (1, 1));
    }

    #[test]
    fn names_without_a_place_are_counted_together() {
        let key = |number: usize| RollupKey {
            minute: 0,
            kind: RollupKind::App,
            name: format!("app-{number:04}"),
        };
        let change = |accepted: i64| {
            let mut change = [0; FIGURES];
            change[ACCEPTED] = accepted;
            change
        };
        let mut rows: BTreeMap<_, _> = (0..10).map(|number| (key(number), change(1))).collect();
        rows.insert(key(7), change(5));
        let new: BTreeSet<RollupKey> = rows.keys().skip(2).cloned().collect();
        let taken = BTreeMap::from([((0, RollupKind::App), MAX_ROLLUP_NAMES - 2)]);
        let placed = place(rows, &new, &taken);
        let names: Vec<(&str, i64)> = placed.iter().map(|(key, it)| (&*key.name, it[0])).collect();
        let expected = [
            ("app-0000", 1),
            ("app-0001", 1),
            ("app-0002", 1),
            ("app-0007", 5),
            ("other", 6),
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_time_beyond_all_ids_is_bounded() {
        let end = bigint(END_OF_TIME - END_OF_TIME % MINUTE_MS);
        assert_eq!((minute_of(i64::MAX), minute_of(-1)), (end, 0));
    }
}
