//! What waits in memory, within which bounds, and when is it a batch?

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::record::Record;

use super::Unrecorded;

/// Records in one batch.
const FULL: usize = 256;
/// Bytes of dead letters in one batch, the last one aside: brokers have a limit for a message.
const FULL_BYTES: usize = 1024 * 1024;
/// Bytes of dead letters in memory, the last one aside.
const MOST_BYTES: usize = 64 * 1024 * 1024;
/// A batch that is not full goes after so long.
const GATHERED_FOR: Duration = Duration::from_millis(5);

/// A record, and who waits for it.
#[derive(Debug)]
pub(super) struct Entry {
    record: Record,
    durable: Option<oneshot::Sender<()>>,
    handed_over: Instant,
}

impl Entry {
    pub(super) fn new(
        record: Record,
        durable: Option<oneshot::Sender<()>>,
        handed_over: Instant,
    ) -> Self {
        Self {
            record,
            durable,
            handed_over,
        }
    }

    fn bytes(&self) -> usize {
        self.record
            .dead_letter
            .as_ref()
            .map_or(0, bytes::Bytes::len)
    }
}

/// Some records on their way together.
#[derive(Debug)]
pub(super) struct Batch {
    number: u64,
    records: Vec<Record>,
    durable: Vec<oneshot::Sender<()>>,
}

impl Batch {
    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Tells everybody who waits.
    pub(super) fn tell(self) {
        for durable in self.durable {
            let _ = durable.send(());
        }
    }
}

/// What the spool has to give at a moment.
#[derive(Debug)]
pub(super) enum Cut {
    Batch(Batch),
    /// A batch that is not full yet goes at this moment.
    NotBefore(Instant),
    Empty,
    /// Empty for good.
    Closed,
}

/// What is known here of a batch on its way.
#[derive(Debug)]
struct OnItsWay {
    number: u64,
    records: usize,
    bytes: usize,
    oldest: Instant,
}

/// The records in memory, in the order in which they were handed over.
#[derive(Debug)]
pub(super) struct Spool {
    entries: VecDeque<Entry>,
    /// Bytes of dead letters in `entries`.
    bytes: usize,
    on_their_way: Vec<OnItsWay>,
    most: usize,
    batches: u64,
    closed: bool,
}

impl Spool {
    /// Of at most so many records, those on their way included.
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            on_their_way: Vec::new(),
            most,
            batches: 0,
            closed: false,
        }
    }

    /// Takes an entry in. Returns whether something changed for who waits for a batch.
    pub(super) fn push(&mut self, entry: Entry) -> Result<bool, Unrecorded> {
        let on_their_way: usize = self.on_their_way.iter().map(|it| it.bytes).sum();
        let heavy = entry.bytes() > 0 && self.bytes + on_their_way >= MOST_BYTES;
        if self.closed || heavy || self.waiting() >= self.most {
            return Err(Unrecorded);
        }
        let was_full = self.is_full();
        self.bytes += entry.bytes();
        self.entries.push_back(entry);
        Ok(self.entries.len() == 1 || (self.is_full() && !was_full))
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= FULL || self.bytes >= FULL_BYTES
    }

    /// A batch off the front, if there is one at `now`.
    pub(super) fn cut(&mut self, now: Instant) -> Cut {
        let Some(oldest) = self.entries.front().map(|it| it.handed_over) else {
            return if self.closed { Cut::Closed } else { Cut::Empty };
        };
        let due = oldest + GATHERED_FOR;
        if !self.closed && !self.is_full() && due > now {
            return Cut::NotBefore(due);
        }
        let mut batch = Batch {
            number: self.batches,
            records: Vec::with_capacity(self.entries.len().min(FULL)),
            durable: Vec::new(),
        };
        self.batches += 1;
        let mut bytes = 0;
        while batch.records.len() < FULL && bytes < FULL_BYTES {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            bytes += entry.bytes();
            batch.records.push(entry.record);
            batch.durable.extend(entry.durable);
        }
        self.bytes -= bytes;
        self.on_their_way.push(OnItsWay {
            number: batch.number,
            records: batch.records.len(),
            bytes,
            oldest,
        });
        Cut::Batch(batch)
    }

    /// The batch has arrived.
    pub(super) fn durable(&mut self, batch: &Batch) {
        self.on_their_way.retain(|it| it.number != batch.number);
    }

    /// Takes nothing in any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Drops everything, and returns how many records that were.
    pub(super) fn give_up(&mut self) -> usize {
        let left = self.waiting();
        self.entries.clear();
        self.on_their_way.clear();
        self.bytes = 0;
        left
    }

    pub(super) fn waiting(&self) -> usize {
        let on_their_way: usize = self.on_their_way.iter().map(|it| it.records).sum();
        self.entries.len() + on_their_way
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        let on_their_way = self.on_their_way.iter().map(|it| it.oldest).min();
        on_their_way.or_else(|| self.entries.front().map(|it| it.handed_over))
    }
}
