//! The bounded buffer of records in memory, and when they make a batch.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::numbering::{AcceptanceKey, Numbering, RecordNumber};
use crate::model::{BatchSpan, Record, RecorderInfo};

/// The maximum number of records in a batch.
const MAX_BATCH_RECORDS: usize = 256;
/// The maximum bytes of messages and answers in a batch, not counting the last one: brokers limit a
/// message.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// The maximum bytes of messages and answers in memory, not counting the last one.
const MAX_BUFFERED_BYTES: usize = 64 * 1024 * 1024;
/// A batch that is not full is sent after this long.
pub(super) const BATCH_DELAY: Duration = Duration::from_millis(5);

/// The record was dropped: the buffer is full, or the recorder closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record was dropped")]
pub struct RecordDropped;

/// A record, and the caller that waits for it, if one does.
#[derive(Debug)]
pub(super) struct BufferedRecord {
    pub(super) record: Record,
    /// Notified when the record is durable.
    pub(super) durable: Option<oneshot::Sender<()>>,
    pub(super) recorded_at: Instant,
}

/// A record with its number.
#[derive(Debug)]
struct NumberedRecord {
    buffered: BufferedRecord,
    number: RecordNumber,
}

impl BufferedRecord {
    fn bytes(&self) -> usize {
        let message = self.record.message.as_ref();
        let attempted = self.record.attempted.as_ref();
        let answer = attempted.and_then(|attempt| attempt.answer.as_ref());
        message.map_or(0, bytes::Bytes::len) + answer.map_or(0, |answer| answer.text.len())
    }

    /// Leaves out the answer, and the message of a callback that waits: the broker has it. A dead
    /// letter keeps its message.
    fn leave_out_what_can_be_missed(&mut self) {
        if let Some(attempt) = &mut self.record.attempted {
            attempt.answer = None;
        }
        if !self.record.state.is_dead_letter() {
            self.record.message = None;
        }
    }
}

/// Records that are sent together.
#[derive(Debug)]
pub(super) struct RecordBatch {
    number: u64,
    span: BatchSpan,
    records: Vec<Record>,
    durable: Vec<oneshot::Sender<()>>,
    oldest: Instant,
}

impl RecordBatch {
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The part of the stream that it holds.
    pub(super) const fn span(&self) -> &BatchSpan {
        &self.span
    }

    /// The callers that wait for it, to be notified when it is durable.
    pub(super) fn take_waiting(&mut self) -> Vec<oneshot::Sender<()>> {
        std::mem::take(&mut self.durable)
    }

    /// When the oldest record was recorded; without records, when it was taken.
    pub(super) const fn oldest(&self) -> Instant {
        self.oldest
    }
}

/// The next batch, if there is one.
#[derive(Debug)]
pub(super) enum NextBatch {
    Ready(RecordBatch),
    /// There may be one at this time.
    At(Instant),
    /// Empty, and closed.
    Closed,
}

/// A batch that is being sent.
#[derive(Debug)]
struct InFlightBatch {
    number: u64,
    records: usize,
    bytes: usize,
    /// `None`: it holds no records.
    oldest: Option<Instant>,
    /// It is in the spool as well.
    spooled: bool,
}

/// The records in memory, in the order in which they came.
#[derive(Debug)]
pub(super) struct RecordBuffer {
    records: VecDeque<NumberedRecord>,
    numbering: Numbering,
    /// A batch without records is sent when there has been none for this long.
    heartbeat: Duration,
    /// When the last batch was taken.
    last_batch: Option<Instant>,
    /// Callers that wait for the next batch, even if it holds no records.
    flushes: Vec<oneshot::Sender<()>>,
    /// Bytes of dead letters in `records`.
    bytes: usize,
    in_flight: Vec<InFlightBatch>,
    capacity: usize,
    batches: u64,
    closed: bool,
    /// The last batch was taken.
    ended: bool,
}

impl RecordBuffer {
    /// A buffer of at most `capacity` records, those in flight included.
    pub(super) fn new(capacity: usize, heartbeat: Duration, numbering: Numbering) -> Self {
        Self {
            records: VecDeque::new(),
            numbering,
            heartbeat,
            last_batch: None,
            flushes: Vec::new(),
            bytes: 0,
            in_flight: Vec::new(),
            capacity,
            batches: 0,
            closed: false,
            ended: false,
        }
    }

    /// Adds a record, handed over `now` (Unix ms). Returns whether the task that waits for a batch
    /// must be woken.
    pub(super) fn push(
        &mut self,
        mut record: BufferedRecord,
        now: u64,
    ) -> Result<bool, RecordDropped> {
        let in_flight: usize = self.in_flight.iter().map(|batch| batch.bytes).sum();
        let full = self.bytes + in_flight >= MAX_BUFFERED_BYTES;
        if full {
            record.leave_out_what_can_be_missed();
        }
        let too_large = full && record.bytes() > 0;
        if self.closed || too_large || self.len() >= self.capacity {
            self.numbering.skip(now);
            return Err(RecordDropped);
        }
        let number = self.numbering.hand_over(now);
        let was_full = self.has_full_batch();
        self.bytes += record.bytes();
        self.records.push_back(NumberedRecord {
            buffered: record,
            number,
        });
        Ok(self.records.len() == 1 || (self.has_full_batch() && !was_full))
    }

    fn has_full_batch(&self) -> bool {
        self.records.len() >= MAX_BATCH_RECORDS || self.bytes >= MAX_BATCH_BYTES
    }

    /// Takes the oldest records, if they make a batch at `now`: they are full, or `delay` old. `now_ms`:
    /// the same, Unix ms.
    pub(super) fn next_batch(&mut self, now: Instant, now_ms: u64, delay: Duration) -> NextBatch {
        let Some(oldest) = self.records.front() else {
            return self.next_empty_batch(now, now_ms);
        };
        let due = oldest.buffered.recorded_at + delay;
        if !self.closed && !self.has_full_batch() && due > now {
            return NextBatch::At(due);
        }
        let (first, oldest) = (oldest.number, oldest.buffered.recorded_at);
        let mut records = Vec::with_capacity(self.records.len().min(MAX_BATCH_RECORDS));
        let (mut last, mut bytes, mut durable) = (first.number, 0, Vec::new());
        while records.len() < MAX_BATCH_RECORDS && bytes < MAX_BATCH_BYTES {
            // A batch has no missing number.
            let next = self
                .records
                .pop_front_if(|next| next.number.number <= last.saturating_add(1));
            let Some(NumberedRecord { buffered, number }) = next else {
                break;
            };
            last = number.number;
            bytes += buffered.bytes();
            records.push(buffered.record);
            durable.extend(buffered.durable);
        }
        let next = self.records.front().map(|next| next.number);
        self.bytes -= bytes;
        let number = self.batches;
        self.batches += 1;
        self.in_flight.push(InFlightBatch {
            number,
            records: records.len(),
            bytes,
            oldest: Some(oldest),
            spooled: false,
        });
        if self.records.is_empty() {
            durable.append(&mut self.flushes);
        }
        self.last_batch = Some(now);
        NextBatch::Ready(RecordBatch {
            number,
            span: self.numbering.span(first, last, next, now_ms),
            records,
            durable,
            oldest,
        })
    }

    /// A batch without records, when it is time for one: the first, a heartbeat, one that a caller
    /// waits for, or the last.
    fn next_empty_batch(&mut self, now: Instant, now_ms: u64) -> NextBatch {
        let due = self.last_batch.map(|last| last + self.heartbeat);
        if self.ended {
            return NextBatch::Closed;
        }
        if let Some(due) = due
            && due > now
            && !self.closed
            && self.flushes.is_empty()
        {
            return NextBatch::At(due);
        }
        let first = self.numbering.next(now_ms);
        let mut span = self.numbering.span(first, first.number, None, now_ms);
        // What is still under way at the close is not recorded by this process.
        span.closes = self.closed && self.numbering.is_idle();
        self.ended = self.closed;
        let number = self.batches;
        self.batches += 1;
        self.in_flight.push(InFlightBatch {
            number,
            records: 0,
            bytes: 0,
            oldest: None,
            spooled: false,
        });
        self.last_batch = Some(now);
        NextBatch::Ready(RecordBatch {
            number,
            span,
            records: Vec::new(),
            durable: std::mem::take(&mut self.flushes),
            oldest: now,
        })
    }

    /// The recorder.
    pub(super) const fn recorder(&self) -> RecorderInfo {
        self.numbering.recorder()
    }

    /// The last number that was given.
    pub(super) const fn last_number(&self) -> u64 {
        self.numbering.last()
    }

    /// Begins an acceptance: its record may come.
    pub(super) fn begin(&mut self, now: u64) -> AcceptanceKey {
        self.numbering.begin(now)
    }

    /// An id of the acceptance was generated at this time (Unix ms). Returns whether the spans say
    /// something of it: not if the clock has been set back.
    pub(super) fn generated(&mut self, acceptance: AcceptanceKey, at: u64) -> bool {
        self.numbering.generated(acceptance, at)
    }

    /// The record of the acceptance has been handed over, or there is none.
    pub(super) fn end(&mut self, acceptance: AcceptanceKey) {
        self.numbering.end(acceptance);
    }

    /// A callback may have been accepted that will not be recorded: a number stays missing.
    pub(super) fn skip(&mut self, now: u64) {
        self.numbering.skip(now);
    }

    /// Notifies when the next batch is durable, even if it holds no records. Wake the task that waits
    /// for a batch.
    pub(super) fn flush(&mut self, durable: oneshot::Sender<()>) {
        if !self.closed {
            self.flushes.push(durable);
        }
    }

    /// The batch is durable.
    pub(super) fn complete(&mut self, batch: &RecordBatch) {
        self.in_flight.retain(|sent| sent.number != batch.number);
    }

    /// The batch is in the spool, and still being sent.
    pub(super) fn spooled(&mut self, batch: &RecordBatch) {
        let sent = self.in_flight.iter_mut();
        for sent in sent.filter(|sent| sent.number == batch.number) {
            sent.spooled = true;
        }
    }

    /// Accepts no more records.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Drops all records, and returns how many are not in the spool either.
    pub(super) fn clear(&mut self) -> usize {
        let spooled = self.in_flight.iter().filter(|sent| sent.spooled);
        let spooled: usize = spooled.map(|sent| sent.records).sum();
        let dropped = self.len() - spooled;
        self.records.clear();
        self.flushes.clear();
        self.in_flight.clear();
        self.bytes = 0;
        dropped
    }

    /// Records in memory, those in flight included.
    pub(super) fn len(&self) -> usize {
        let in_flight: usize = self.in_flight.iter().map(|batch| batch.records).sum();
        self.records.len() + in_flight
    }

    /// When the oldest record was recorded.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let in_flight = self.in_flight.iter().filter_map(|batch| batch.oldest).min();
        let waiting = self.records.front();
        in_flight.or_else(|| waiting.map(|record| record.buffered.recorded_at))
    }
}
