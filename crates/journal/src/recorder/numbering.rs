//! Numbers the records of a recorder, and knows which acceptances are under way.
//!
//! The clock of a recorder never steps back: while the machine's clock is behind the latest time that it
//! has shown, that time holds. Else an id could be generated in a time of which everything is stored.

use std::collections::BTreeSet;

use uuid::Uuid;

use crate::model::{BatchSpan, RecorderInfo};

/// The number of a record. All times are Unix ms.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordNumber {
    pub(super) number: u64,
    /// What is handed over from then on has this number or a greater one.
    since: u64,
    /// Every acceptance begun before was handed over with a smaller number, and is not missing.
    pub(super) floor: u64,
}

/// An acceptance that is under way: its record may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AcceptanceKey {
    began_at: u64,
    unique: u64,
}

impl AcceptanceKey {
    /// Whether the spans of the recorder say something of an id of this acceptance that was generated at
    /// this time (Unix ms): not if the machine's clock has been set back.
    pub(super) const fn bears_on(&self, generated_at: u64) -> bool {
        generated_at >= self.began_at
    }
}

/// The numbers of one recorder.
#[derive(Debug)]
pub(super) struct Numbering {
    recorder: RecorderInfo,
    last: u64,
    /// When the last number was given to a record.
    last_at: u64,
    /// The floor of the missing numbers after the last one that was given to a record.
    gap: Option<u64>,
    /// As many as there are requests under way.
    acceptances: BTreeSet<AcceptanceKey>,
    begun: u64,
    /// The latest time that was seen.
    latest: u64,
}

impl Numbering {
    pub(super) fn new(accepts: bool, now: u64) -> Self {
        Self {
            recorder: RecorderInfo {
                id: Uuid::now_v7(),
                accepts,
                started_at: now,
            },
            last: 0,
            last_at: now.saturating_sub(1),
            gap: None,
            acceptances: BTreeSet::new(),
            begun: 0,
            latest: now,
        }
    }

    /// The time, which never steps back.
    fn clock(&mut self, now: u64) -> u64 {
        self.latest = self.latest.max(now);
        self.latest
    }

    pub(super) const fn recorder(&self) -> RecorderInfo {
        self.recorder
    }

    /// The last number that was given.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// The number of a record that is handed over now.
    pub(super) fn hand_over(&mut self, now: u64) -> RecordNumber {
        let number = self.next(now);
        self.last_at = self.latest;
        number
    }

    /// The number of a batch without records.
    pub(super) fn next(&mut self, now: u64) -> RecordNumber {
        self.last += 1;
        let now = self.clock(now);
        let floor = self.floor(now);
        RecordNumber {
            number: self.last,
            since: self.last_at.saturating_add(1),
            floor: self.gap.take().map_or(floor, |gap| gap.min(floor)),
        }
    }

    /// Leaves out a number: a record is lost, and its time stays open.
    pub(super) fn skip(&mut self, now: u64) {
        let number = self.hand_over(now);
        self.gap = Some(number.floor);
    }

    /// The span of a batch from `first` to the number `last`. `next`: the number that follows, if it is
    /// given already.
    pub(super) fn span(
        &mut self,
        first: RecordNumber,
        last: u64,
        next: Option<RecordNumber>,
        now: u64,
    ) -> BatchSpan {
        let now = self.clock(now);
        let following = next.map(|next| next.floor).or(self.gap);
        let floor = self.floor(now);
        BatchSpan {
            recorder: self.recorder,
            first: first.number,
            last,
            since: first.since,
            until: following.map_or(floor, |following| following.min(floor)),
            closes: false,
        }
    }

    /// Every acceptance begun before has ended.
    fn floor(&self, now: u64) -> u64 {
        let oldest = self.acceptances.first();
        oldest.map_or(now, |oldest| oldest.began_at.min(now))
    }

    /// Whether no acceptance is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.acceptances.is_empty()
    }

    pub(super) fn begin(&mut self, now: u64) -> AcceptanceKey {
        self.begun += 1;
        let key = AcceptanceKey {
            began_at: self.clock(now),
            unique: self.begun,
        };
        self.acceptances.insert(key);
        key
    }

    /// An id of the acceptance was generated at this time. Returns whether the spans say something of it.
    pub(super) fn generated(&mut self, key: AcceptanceKey, at: u64) -> bool {
        let bears_on = key.bears_on(at);
        if bears_on {
            self.clock(at);
        }
        bears_on
    }

    pub(super) fn end(&mut self, key: AcceptanceKey) {
        self.acceptances.remove(&key);
    }
}
