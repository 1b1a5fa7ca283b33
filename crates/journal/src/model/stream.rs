//! The numbered stream of each recorder, and which part of it is stored.
//!
//! A 404 needs proof that no record of the id is on its way; `decisions/0031` has it. Each recorder numbers its records. A
//! batch says which numbers it holds and of which time; what is stored of a recorder is a list of
//! spans. A number that is missing (on its way, or lost) is a hole between two spans, and the time of
//! that hole proves nothing.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::request_id::{generated_at, is_marked};

/// The maximum number of spans of a recorder. Beyond it the oldest is forgotten, which makes the hole
/// beside it larger: less is proven, never more.
const MAX_SPANS: usize = 256;

/// How many recorders are read at once.
pub(crate) const MAX_RECORDERS: u32 = 10_000;

/// A marked id proves nothing for this long. By then its recorder has reached the journal, or its
/// records are lost.
const MARK_HOLDS_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// The recorder of one running process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderInfo {
    /// Of this run of the process.
    #[serde(rename = "recorder")]
    pub id: Uuid,
    /// Whether the process accepts callbacks, and so generates ids. Others only add to what is known.
    pub accepts: bool,
    /// Unix ms by its own clock, as all times of a stream. Its ids are younger.
    pub started_at: u64,
}

/// The part of a recorder's stream that one batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchSpan {
    /// Whose stream it is.
    #[serde(flatten)]
    pub recorder: RecorderInfo,
    /// The number of its first record.
    pub first: u64,
    /// The number of its last record. A batch without records has a number too.
    pub last: u64,
    /// Everything that was handed over at this time or later has the number `first` or a greater one.
    pub since: u64,
    /// Everything that belongs to an acceptance begun before this time was handed over, with the
    /// number `last` or a smaller one.
    pub until: u64,
    /// The recorder has ended: nothing follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub closes: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl BatchSpan {
    /// The span of the first `records` records, and that of the rest. Both have one at least.
    pub fn split(self, records: usize) -> (Self, Self) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        let middle = self.first.saturating_add(records).min(self.last);
        // Neither part says anything of a time; both together say what the whole did.
        let front = Self {
            last: middle.saturating_sub(1),
            until: 0,
            closes: false,
            ..self
        };
        let back = Self {
            first: middle,
            since: u64::MAX,
            ..self
        };
        (front, back)
    }

    /// The span of both, if `next` follows directly.
    pub fn followed_by(self, next: &Self) -> Option<Self> {
        let follows =
            self.recorder == next.recorder && self.last.checked_add(1) == Some(next.first);
        follows.then_some(Self {
            last: next.last,
            until: next.until,
            closes: next.closes,
            ..self
        })
    }
}

/// One of the batches that are stored together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPart {
    /// How many of the records it holds.
    pub records: usize,
    /// The part of its recorder's stream; `None`: an older version made it.
    pub span: Option<BatchSpan>,
}

impl BatchPart {
    /// The same part of the stream, of which the records were stored before.
    pub(crate) const fn without_records(&self) -> Self {
        Self {
            records: 0,
            span: self.span,
        }
    }
}

/// Numbers that are stored without a gap, and the time of which they hold everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSpan {
    first: u64,
    last: u64,
    since: u64,
    until: u64,
}

/// What is stored of a stream, in the order of the numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct StoredSpans(Vec<StoredSpan>);

impl StoredSpans {
    /// Adds a batch's span; again changes nothing.
    pub(crate) fn add(&mut self, batch: &BatchSpan) {
        let mut added = StoredSpan {
            first: batch.first,
            last: batch.last,
            since: batch.since,
            until: batch.until,
        };
        // Those that touch it become one with it.
        let from = self
            .0
            .partition_point(|span| span.last.saturating_add(1) < added.first);
        let to = self
            .0
            .partition_point(|span| span.first <= added.last.saturating_add(1));
        for span in self.0.drain(from..to.max(from)) {
            // The lowest number says since when, the highest until when.
            if span.first <= added.first {
                (added.first, added.since) = (span.first, span.since);
            }
            if span.last >= added.last {
                (added.last, added.until) = (span.last, span.until);
            }
        }
        self.0.insert(from, added);
        if self.0.len() > MAX_SPANS {
            self.0.remove(0);
        }
    }

    /// Which of a batch's records are not stored yet, in their order. Where a number of the batch has no
    /// record, it is not known which is whose: then all are new, or none.
    fn lacks(&self, batch: &BatchSpan, records: usize) -> Vec<bool> {
        let overlaps = |first: u64, last: u64| {
            let mut spans = self.0.iter();
            spans.any(|span| span.first <= last && first <= span.last)
        };
        let numbers = u64::try_from(records).unwrap_or(u64::MAX);
        let is_whole = batch.last.checked_sub(batch.first) == numbers.checked_sub(1);
        if !overlaps(batch.first, batch.last) {
            vec![true; records]
        } else if is_whole {
            let numbers = batch.first..=batch.last;
            numbers.map(|number| !overlaps(number, number)).collect()
        } else {
            vec![false; records]
        }
    }

    /// Whether everything of an acceptance at this time is stored.
    fn covers(&self, at: u64) -> bool {
        let mut spans = self.0.iter();
        spans.any(|span| span.since <= at && at < span.until)
    }

    /// Whether no number is missing.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(&*self.0, [span] if span.first <= 1)
    }

    /// The greatest number; 0: none.
    pub(crate) fn last(&self) -> u64 {
        self.0.last().map_or(0, |span| span.last)
    }

    /// Until when everything is stored, leaving out older holes; Unix ms.
    pub(crate) fn until(&self) -> Option<u64> {
        self.0.last().map(|span| span.until)
    }

    /// As text for a column.
    pub(crate) fn to_text(&self) -> String {
        // Only numbers: nothing can fail to serialise.
        serde_json::to_string(&self.0).unwrap_or_default()
    }

    /// Reads [`StoredSpans::to_text`]. What cannot be read proves nothing.
    pub(crate) fn of_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// What the journal knows of a recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderState {
    /// The recorder.
    pub recorder: RecorderInfo,
    /// When the journal last stored something of it, by the journal's clock; Unix ms.
    pub seen_at: u64,
    /// When it ended: by its last batch, or because it was silent for too long; Unix ms.
    pub ended_at: Option<u64>,
    /// It has ended by itself.
    pub(crate) closed: bool,
    pub(crate) spans: StoredSpans,
}

impl RecorderState {
    /// Whether this recorder may hold a record that is not stored, of a callback whose id was
    /// generated at this time (Unix ms).
    pub fn may_hold(&self, generated_at: u64) -> bool {
        let recorder = &self.recorder;
        // Its ids are from its lifetime.
        let alive = recorder.started_at <= generated_at
            && self
                .ended_at
                .is_none_or(|ended_at| generated_at <= ended_at);
        recorder.accepts && alive && !self.spans.covers(generated_at)
    }

    /// The greatest number that is stored; 0: none.
    pub fn last_number(&self) -> u64 {
        self.spans.last()
    }

    /// Until when its records are stored, older holes left out; Unix ms by its clock.
    pub fn stored_until(&self) -> Option<u64> {
        self.spans.until()
    }

    /// A recorder of which nothing is stored yet.
    pub fn new(recorder: RecorderInfo) -> Self {
        Self {
            recorder,
            seen_at: 0,
            ended_at: None,
            closed: false,
            spans: StoredSpans::default(),
        }
    }

    /// Adds what a batch holds. A recorder that was taken for ended is alive if the batch speaks of a
    /// later time. What it recorded before, perhaps from the spool that another process has adopted, does
    /// not show that.
    pub fn add(&mut self, batch: &BatchSpan) {
        self.spans.add(batch);
        self.closed |= batch.closes;
        if batch.closes {
            self.ended_at = Some(batch.until);
        } else if !self.closed && self.ended_at.is_some_and(|ended_at| batch.until > ended_at) {
            self.ended_at = None;
        }
    }

    /// Adds what a batch holds. Returns which of its records are not stored yet, in their order.
    pub(crate) fn add_part(&mut self, batch: &BatchSpan, records: usize) -> Vec<bool> {
        let lacking = self.spans.lacks(batch, records);
        self.add(batch);
        lacking
    }

    /// Whether it has ended and all of it is stored, so that it can be forgotten.
    pub(crate) fn is_settled(&self) -> bool {
        self.closed && self.spans.is_complete()
    }
}

/// What the journal knows that bears on an id without a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbsenceEvidence {
    /// The recorders that were alive when the id was generated.
    pub recorders: Vec<RecorderState>,
    /// An idempotency key holds the id: its callback may be accepted at any time.
    pub claimed: bool,
}

impl AbsenceEvidence {
    /// Whether no record of this id is on its way, given that the journal had none after this
    /// evidence was read. `now` in Unix ms.
    pub fn is_proof(&self, request_id: Uuid, now: u64) -> bool {
        if request_id.get_version_num() != 7 {
            return true; // All ids of the gateway are of version 7.
        }
        self.may_be_proof(request_id, now) && self.holders(request_id).next().is_none()
    }

    /// Whether it would be proof if this recorder told that it holds nothing.
    pub fn depends_on(&self, recorder: Uuid, request_id: Uuid, now: u64) -> bool {
        let mut holders = self.holders(request_id);
        self.may_be_proof(request_id, now) && holders.all(|holder| holder.recorder.id == recorder)
    }

    fn may_be_proof(&self, request_id: Uuid, now: u64) -> bool {
        let generated_at = generated_at(request_id);
        let marked = is_marked(request_id) && now < generated_at.saturating_add(MARK_HOLDS_MS);
        generated_at <= now && !self.claimed && !marked
    }

    /// The recorders that may hold a record of this id.
    fn holders(&self, request_id: Uuid) -> impl Iterator<Item = &RecorderState> {
        let generated_at = generated_at(request_id);
        let recorders = self.recorders.iter();
        recorders.filter(move |recorder| recorder.may_hold(generated_at))
    }
}

#[cfg(test)]
mod tests {
    use super::super::request_id::mark;
    use super::*;

    const NOW: u64 = 1_700_000_100_000;

    fn recorder() -> RecorderInfo {
        RecorderInfo {
            id: Uuid::from_u128(1),
            accepts: true,
            started_at: NOW - 50_000,
        }
    }

    fn span(first: u64, last: u64, since: u64, until: u64) -> BatchSpan {
        BatchSpan {
            recorder: recorder(),
            first,
            last,
            since: NOW - since,
            until: NOW - until,
            closes: false,
        }
    }

    fn stored(spans: &[BatchSpan]) -> RecorderState {
        let mut state = RecorderState::new(recorder());
        for span in spans {
            state.add(span);
        }
        state
    }

    fn id_of(age: u64) -> Uuid {
        uuid::Builder::from_unix_timestamp_millis(NOW - age, &[7; 10]).into_uuid()
    }

    #[test]
    fn a_record_is_new_until_its_number_is_stored() {
        let part = |first, last| span(first, last, 50_000, 40_000);
        let mut state = stored(&[]);
        assert_eq!(state.add_part(&part(3, 5), 3), [true; 3]);
        assert_eq!(state.add_part(&part(3, 5), 3), [false; 3]);
        // A part of it came in another batch.
        assert_eq!(
            state.add_part(&part(2, 6), 5),
            [true, false, false, false, true]
        );
        // A batch without records has a number: which of these it is, is not known.
        assert_eq!(state.add_part(&part(6, 9), 3), [false; 3]);
        assert_eq!(state.add_part(&part(10, 12), 2), [true; 2]);
        assert_eq!(state.add_part(&part(13, 13), 0), [true; 0]);
        assert_eq!(state, stored(&[part(2, 13)]));
    }

    #[test]
    fn spans_that_touch_become_one_in_any_order() {
        let spans = [
            span(1, 4, 50_000, 40_000),
            span(5, 5, 40_000, 30_000),
            span(6, 9, 30_000, 20_000),
        ];
        let whole = stored(&[span(1, 9, 50_000, 20_000)]);
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let ordered = order.map(|index: usize| spans[index]);
            assert_eq!(stored(&ordered), whole, "{order:?}");
            // Redelivered batches change nothing.
            assert_eq!(stored(&[ordered, ordered].concat()), whole, "{order:?}");
        }
        assert!(whole.spans.is_complete());
        assert_eq!(whole.last_number(), 9);
        assert_eq!(whole.stored_until(), Some(NOW - 20_000));
    }

    #[test]
    fn a_batch_in_two_messages_says_the_same_once_both_are_stored() {
        let whole = span(5, 9, 40_000, 20_000);
        let (front, back) = whole.split(2);
        assert_eq!((front.first, front.last), (5, 6));
        assert_eq!((back.first, back.last), (7, 9));
        let before = span(1, 4, 50_000, 40_000);
        for half in [front, back] {
            let state = stored(&[before, half]);
            assert!(state.may_hold(NOW - 30_000), "{half:?}");
        }
        assert_eq!(stored(&[back, before, front]), stored(&[before, whole]));
    }

    #[test]
    fn a_missing_number_leaves_its_time_open() {
        let state = stored(&[span(1, 4, 50_000, 40_000), span(6, 9, 30_000, 20_000)]);
        for (age, open) in [
            (50_001, false), // Before it started.
            (50_000, false),
            (40_001, false),
            (40_000, true),
            (30_001, true),
            (30_000, false),
            (20_001, false),
            (20_000, true), // Not stored yet.
            (0, true),
        ] {
            assert_eq!(state.may_hold(NOW - age), open, "{age}");
        }
        assert!(!state.spans.is_complete());
        let dispatcher = RecorderInfo {
            accepts: false,
            ..recorder()
        };
        assert!(!RecorderState::new(dispatcher).may_hold(NOW));
    }

    #[test]
    fn what_comes_after_the_end_of_a_recorder_is_not_its_own() {
        let mut state = stored(&[span(1, 4, 50_000, 40_000)]);
        state.ended_at = Some(NOW - 10_000); // It was silent for too long.
        assert!(state.may_hold(NOW - 40_000));
        assert!(state.may_hold(NOW - 10_000));
        assert!(!state.may_hold(NOW - 9_999));
        // From its spool, adopted by the next process.
        state.add(&span(5, 5, 40_000, 20_000));
        assert_eq!(state.ended_at, Some(NOW - 10_000));
        assert!(!state.may_hold(NOW - 20_001));
        assert!(!state.may_hold(NOW - 9_999));
        // It speaks again.
        state.add(&span(6, 6, 20_000, 5_000));
        assert_eq!(state.ended_at, None);
        assert!(!state.may_hold(NOW - 10_000));
        assert!(state.may_hold(NOW - 5_000));
        state.add(&BatchSpan {
            closes: true,
            ..span(8, 8, 2_000, 1_000)
        });
        assert_eq!(state.ended_at, Some(NOW - 1_000));
        assert!(state.may_hold(NOW - 3_000), "number 7 is missing");
        assert!(!state.is_settled());
        state.add(&span(7, 7, 5_000, 2_000));
        assert_eq!(state.ended_at, Some(NOW - 1_000));
        assert!(!state.may_hold(NOW - 3_000));
        assert!(!state.may_hold(NOW));
        assert!(state.is_settled());
    }

    #[test]
    fn the_number_of_spans_is_bounded_and_the_oldest_is_forgotten() {
        let mut state = RecorderState::new(recorder());
        let many = u64::try_from(MAX_SPANS).unwrap() + 10;
        for number in 1..=many {
            let at = 40_000 - number * 20;
            state.add(&span(number * 2, number * 2, at, at - 10));
        }
        assert_eq!(state.spans.0.len(), MAX_SPANS);
        assert!(state.may_hold(NOW - 39_980), "forgotten");
        let newest = NOW - (40_000 - many * 20);
        assert!(!state.may_hold(newest));
        let text = state.spans.to_text();
        assert_eq!(StoredSpans::of_text(&text), state.spans);
        assert!(text.len() < 50_000);
        assert_eq!(StoredSpans::of_text("garbage"), StoredSpans::default());
    }

    #[test]
    fn an_id_is_unknown_only_with_proof() {
        let complete = AbsenceEvidence {
            recorders: vec![stored(&[span(1, 9, 50_000, 20_000)])],
            claimed: false,
        };
        let none = AbsenceEvidence::default();
        for (proof, id, evidence) in [
            (true, id_of(30_000), &complete),
            (false, id_of(20_000), &complete),
            (false, id_of(0), &complete),
            (true, id_of(0), &none),
            // A recorder that has registered and of which nothing is stored.
            (
                false,
                id_of(30_000),
                &AbsenceEvidence {
                    recorders: vec![stored(&[])],
                    claimed: false,
                },
            ),
            (
                false,
                id_of(30_000),
                &AbsenceEvidence {
                    claimed: true,
                    ..complete.clone()
                },
            ),
            // Of a recorder that the journal may not know.
            (false, mark(id_of(30_000)), &complete),
            (false, mark(id_of(MARK_HOLDS_MS - 1)), &none),
            (true, mark(id_of(MARK_HOLDS_MS)), &none),
            // Not ids of the gateway.
            (true, Uuid::from_u128(7), &complete),
            (true, Uuid::max(), &complete),
        ] {
            assert_eq!(evidence.is_proof(id, NOW), proof, "{id} {evidence:?}");
            if proof {
                assert!(id.get_version_num() != 7 || evidence.depends_on(Uuid::nil(), id, NOW));
            }
        }
        let own = recorder().id;
        assert!(complete.depends_on(own, id_of(20_000), NOW));
        assert!(!complete.depends_on(Uuid::nil(), id_of(20_000), NOW));
        assert!(!complete.depends_on(own, mark(id_of(20_000)), NOW));
        // From a clock that is ahead.
        assert!(!none.is_proof(id_of(0), NOW - 1));
    }
}
