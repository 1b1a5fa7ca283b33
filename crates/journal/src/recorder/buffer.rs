//! The bounded buffer of records in memory, and when they make a batch.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::model::Record;

/// The maximum number of records in a batch.
const MAX_BATCH_RECORDS: usize = 256;
/// The maximum bytes of dead letters in a batch, not counting the last one: brokers limit a
/// message.
const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// The maximum bytes of dead letters in memory, not counting the last one.
const MAX_BUFFERED_BYTES: usize = 64 * 1024 * 1024;
/// A batch that is not full is sent after this long.
const BATCH_DELAY: Duration = Duration::from_millis(5);

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

impl BufferedRecord {
    fn bytes(&self) -> usize {
        let body = self.record.dead_letter.as_ref();
        body.map_or(0, bytes::Bytes::len)
    }
}

/// Records that are sent together.
#[derive(Debug)]
pub(super) struct RecordBatch {
    number: u64,
    records: Vec<Record>,
    durable: Vec<oneshot::Sender<()>>,
}

impl RecordBatch {
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Notifies all callers that wait.
    pub(super) fn notify_durable(self) {
        for durable in self.durable {
            let _ = durable.send(());
        }
    }
}

/// The next batch, if there is one.
#[derive(Debug)]
pub(super) enum NextBatch {
    Ready(RecordBatch),
    /// A batch that is not full yet is ready at this time.
    At(Instant),
    Empty,
    /// Empty, and closed.
    Closed,
}

/// A batch that is being sent.
#[derive(Debug)]
struct InFlightBatch {
    number: u64,
    records: usize,
    bytes: usize,
    oldest: Instant,
}

/// The records in memory, in the order in which they came.
#[derive(Debug)]
pub(super) struct RecordBuffer {
    records: VecDeque<BufferedRecord>,
    /// Bytes of dead letters in `records`.
    bytes: usize,
    in_flight: Vec<InFlightBatch>,
    capacity: usize,
    batches: u64,
    closed: bool,
}

impl RecordBuffer {
    /// A buffer of at most `capacity` records, those in flight included.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            records: VecDeque::new(),
            bytes: 0,
            in_flight: Vec::new(),
            capacity,
            batches: 0,
            closed: false,
        }
    }

    /// Adds a record. Returns whether the task that waits for a batch must be woken.
    pub(super) fn push(&mut self, record: BufferedRecord) -> Result<bool, RecordDropped> {
        let in_flight: usize = self.in_flight.iter().map(|batch| batch.bytes).sum();
        let too_large = record.bytes() > 0 && self.bytes + in_flight >= MAX_BUFFERED_BYTES;
        if self.closed || too_large || self.len() >= self.capacity {
            return Err(RecordDropped);
        }
        let was_full = self.has_full_batch();
        self.bytes += record.bytes();
        self.records.push_back(record);
        Ok(self.records.len() == 1 || (self.has_full_batch() && !was_full))
    }

    fn has_full_batch(&self) -> bool {
        self.records.len() >= MAX_BATCH_RECORDS || self.bytes >= MAX_BATCH_BYTES
    }

    /// Takes the oldest records, if they make a batch at `now`.
    pub(super) fn next_batch(&mut self, now: Instant) -> NextBatch {
        let Some(oldest) = self.records.front().map(|record| record.recorded_at) else {
            return if self.closed {
                NextBatch::Closed
            } else {
                NextBatch::Empty
            };
        };
        let due = oldest + BATCH_DELAY;
        if !self.closed && !self.has_full_batch() && due > now {
            return NextBatch::At(due);
        }
        let mut batch = RecordBatch {
            number: self.batches,
            records: Vec::with_capacity(self.records.len().min(MAX_BATCH_RECORDS)),
            durable: Vec::new(),
        };
        self.batches += 1;
        let mut bytes = 0;
        while batch.records.len() < MAX_BATCH_RECORDS && bytes < MAX_BATCH_BYTES {
            let Some(record) = self.records.pop_front() else {
                break;
            };
            bytes += record.bytes();
            batch.records.push(record.record);
            batch.durable.extend(record.durable);
        }
        self.bytes -= bytes;
        self.in_flight.push(InFlightBatch {
            number: batch.number,
            records: batch.records.len(),
            bytes,
            oldest,
        });
        NextBatch::Ready(batch)
    }

    /// The batch is durable.
    pub(super) fn complete(&mut self, batch: &RecordBatch) {
        self.in_flight.retain(|sent| sent.number != batch.number);
    }

    /// Accepts no more records.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Drops all records, and returns how many.
    pub(super) fn clear(&mut self) -> usize {
        let dropped = self.len();
        self.records.clear();
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
        let in_flight = self.in_flight.iter().map(|batch| batch.oldest).min();
        in_flight.or_else(|| self.records.front().map(|record| record.recorded_at))
    }
}
