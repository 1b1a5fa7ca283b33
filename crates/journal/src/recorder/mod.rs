//! The recorder: collects records in memory and writes them in batches, so that callers do not
//! wait.
//!
//! One task takes batches from the front of the buffer, and at most [`MAX_BATCHES_IN_FLIGHT`] are
//! being written at a time. A batch that fails is retried for ever. With a spool, a batch that is late
//! is written to local files first, so that it survives the process; while all batches in flight are
//! late, the next ones go there directly.
//!
//! Every record has a number, so that the journal knows what it lacks: see `model/stream.rs`.
//!
//! - `buffer.rs`: the records in memory, within bounds. `numbering.rs`: their numbers.
//!   `acceptance.rs`: callbacks that are being accepted. `sink.rs`: where batches are written.
//! - `shared.rs`: what the tasks share. `put.rs`: writes a batch until it is durable.
//! - `spool/`: the local files. `late/`, `late_batches.rs`: what goes there. `drain.rs`: how it leaves
//!   again. `coalesce.rs`: which batches leave together.

mod acceptance;
mod buffer;
mod coalesce;
mod drain;
mod late;
mod late_batches;
mod numbering;
mod put;
mod shared;
mod sink;
mod spool;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::{Record, RecorderInfo};
use buffer::{BATCH_DELAY, NextBatch, RecordBatch, RecordBuffer};
use drain::drain;
use late::{SPOOL_BATCH_DELAY, instant, put_or_spool, spool_or_wait};
use late_batches::{LateBatches, MAX_BATCHES_IN_FLIGHT};
use numbering::Numbering;
use shared::{RecorderShared, RecorderTasks, now_ms};

pub use acceptance::PendingAcceptance;
pub use buffer::RecordDropped;
pub use sink::RecordSink;
pub use spool::{Spool, SpoolContent};

/// Records that are not durable by then stay in the spool, or are dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a recorder is for.
#[derive(Clone, Copy, Debug)]
pub struct RecorderOptions {
    /// The maximum number of records in memory.
    pub capacity: usize,
    /// Whether the process accepts callbacks.
    pub accepts: bool,
    /// A batch without records is sent when there has been none for this long.
    pub heartbeat: Duration,
}

/// Collects records into batches. Cheap to clone; never blocks.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<RecorderTasks>);

impl Recorder {
    /// Starts a recorder of a process that accepts callbacks, with at most `capacity` records in
    /// memory, and without a spool. Call it inside a Tokio runtime.
    pub fn start(sink: Arc<dyn RecordSink>, capacity: usize) -> Self {
        let options = RecorderOptions {
            capacity,
            accepts: true,
            heartbeat: Duration::from_secs(60),
        };
        Self::start_with(sink, options, None)
    }

    /// Starts a recorder, perhaps with a spool. Call it inside a Tokio runtime.
    pub fn start_with(
        sink: Arc<dyn RecordSink>,
        options: RecorderOptions,
        spool: Option<Spool>,
    ) -> Self {
        let numbering = Numbering::new(options.accepts, now_ms());
        let buffer = RecordBuffer::new(options.capacity, options.heartbeat, numbering);
        let shared = Arc::new(RecorderShared {
            buffer: Mutex::new(buffer),
            changed: Notify::new(),
            spool,
            late: LateBatches::new(),
            dropped: AtomicU64::new(0),
            closing: CancellationToken::new(),
            aborted: CancellationToken::new(),
            registered: AtomicBool::new(false),
        });
        let tasks = TaskTracker::new();
        let finished = CancellationToken::new();
        let draining = drain(Arc::clone(&shared), Arc::clone(&sink), finished.clone());
        tasks.spawn(draining);
        let writing = write_batches(Arc::clone(&shared), sink, tasks.clone());
        tasks.spawn(async move {
            let _finished = finished.drop_guard();
            writing.await;
        });
        Self(Arc::new(RecorderTasks { shared, tasks }))
    }

    /// Buffers a record and returns. If the buffer is full, the record is dropped and counted.
    pub fn record(&self, record: Record) {
        self.push(record, None);
    }

    /// Buffers a record and waits until it is durable: in the sink, or in the spool.
    ///
    /// # Errors
    /// [`RecordDropped`]: it was dropped, or it is in memory, and neither takes records at present.
    /// Cancelling the wait leaves the record in the buffer.
    pub async fn record_durably(&self, record: Record) -> Result<(), RecordDropped> {
        let (durable, wait) = oneshot::channel();
        self.push(record, Some(durable));
        // The sender is dropped with the record.
        wait.await.map_err(|_| RecordDropped)
    }

    fn push(&self, record: Record, durable: Option<oneshot::Sender<()>>) {
        self.0.shared.push(record, durable);
    }

    /// This recorder, as the journal knows it.
    pub fn info(&self) -> RecorderInfo {
        self.0.shared.buffer().recorder()
    }

    /// The journal knows this recorder from now on, whatever becomes of its records.
    pub fn set_registered(&self) {
        self.0.shared.registered.store(true, Ordering::Release);
    }

    /// Begins an acceptance: until it ends, nothing is claimed of the time from now on. Begin it before
    /// the id is generated.
    pub fn begin(&self) -> PendingAcceptance {
        PendingAcceptance::begin(Arc::clone(&self.0))
    }

    /// Sends a batch, without records if there are none, and waits until it is durable: it tells the
    /// journal until when this recorder has nothing.
    ///
    /// # Errors
    /// [`RecordDropped`]: the recorder ended before.
    pub async fn flush(&self) -> Result<(), RecordDropped> {
        let (durable, wait) = oneshot::channel();
        self.0.shared.buffer().flush(durable);
        self.0.shared.changed.notify_one();
        wait.await.map_err(|_| RecordDropped)
    }

    /// How many records were dropped since the start, those in damaged files of the spool included.
    pub fn dropped(&self) -> u64 {
        let spool = self.spool();
        let damaged = spool.map_or(0, |spool| spool.content().borrow().lost);
        self.0.shared.dropped.load(Ordering::Relaxed) + damaged
    }

    /// The number of the newest record, or of a batch without records.
    pub fn last_number(&self) -> u64 {
        self.0.shared.buffer().last_number()
    }

    /// How many records are in memory.
    pub fn buffered(&self) -> usize {
        self.0.shared.buffer().len()
    }

    /// When the oldest record in memory or in the spool was recorded, if there is one. Everything that
    /// this process recorded before it is in the sink.
    pub fn oldest_buffered(&self) -> Option<Instant> {
        let shared = &self.0.shared;
        let buffered = shared.buffer().oldest();
        let spooled = shared.spool.as_ref().and_then(|spool| {
            let oldest = spool.content().borrow().oldest;
            oldest.and_then(instant)
        });
        [buffered, spooled].into_iter().flatten().min()
    }

    /// Whether the spool holds files that cannot be read at present: there may be records in them, of any
    /// age and any process.
    pub fn has_unread_files(&self) -> bool {
        let unread = |spool: &Spool| spool.content().borrow().unread_files > 0;
        self.spool().is_some_and(unread)
    }

    /// The spool, if there is one.
    pub fn spool(&self) -> Option<&Spool> {
        self.0.shared.spool.as_ref()
    }

    /// How often a batch could not be spooled: the spool is full, or its disk fails.
    pub fn spool_failures(&self) -> u64 {
        self.0.shared.late.spool_failures()
    }

    /// Makes all records so far durable, then ends. What is not durable within 5 s stays in the spool
    /// for the next process; without one it is dropped and counted.
    pub async fn close(&self) {
        let RecorderTasks { shared, tasks } = &*self.0;
        shared.close();
        tasks.close();
        if tokio::time::timeout(CLOSE_TIMEOUT, tasks.wait())
            .await
            .is_err()
        {
            shared.aborted.cancel();
            tasks.wait().await;
        }
        let records = shared.buffer().clear();
        if records > 0 {
            shared.count_dropped(records);
            tracing::error!(
                records,
                "records dropped at shutdown: the journal did not take them in time"
            );
        }
        if let Some(spool) = &shared.spool {
            let kept = spool.close().await;
            if kept > 0 {
                tracing::warn!(
                    records = kept,
                    directory = %spool.directory().display(),
                    "records kept in the spool at shutdown: the next process publishes them"
                );
            }
        }
    }
}

/// Writes batches until the buffer is closed and empty.
async fn write_batches(shared: Arc<RecorderShared>, sink: Arc<dyn RecordSink>, tasks: TaskTracker) {
    let in_flight = Arc::new(Semaphore::new(MAX_BATCHES_IN_FLIGHT));
    loop {
        let next = tokio::select! {
            next = next_to_write(&shared, &in_flight) => next,
            () = shared.aborted.cancelled() => return,
        };
        let (batch, permit) = match next {
            None => return,
            Some(NextToWrite::Send(batch, permit)) => (batch, permit),
            Some(NextToWrite::Spool(batch, spool)) => {
                match spool_or_wait(&shared, spool, batch, &in_flight).await {
                    Some(unspooled) => unspooled,
                    None => continue,
                }
            }
        };
        let (shared, sink) = (Arc::clone(&shared), Arc::clone(&sink));
        tasks.spawn(async move {
            put_or_spool(&shared, &*sink, batch).await;
            drop(permit);
        });
    }
}

/// The next batch, and where it goes.
enum NextToWrite<'a> {
    Send(RecordBatch, OwnedSemaphorePermit),
    Spool(RecordBatch, &'a Spool),
}

/// Takes the next batch only when it can be sent or spooled; it grows until then. `None` when the buffer
/// is closed and empty.
async fn next_to_write<'a>(
    shared: &'a RecorderShared,
    in_flight: &Arc<Semaphore>,
) -> Option<NextToWrite<'a>> {
    let late = async {
        let spool = spool_of_late(shared).await;
        let batch = next_batch(shared, SPOOL_BATCH_DELAY).await;
        (spool, batch)
    };
    let permit = tokio::select! {
        biased;
        permit = Arc::clone(in_flight).acquire_owned() => permit.ok()?,
        (spool, batch) = late => return Some(NextToWrite::Spool(batch?, spool)),
    };
    let batch = next_batch(shared, BATCH_DELAY).await?;
    Some(NextToWrite::Send(batch, permit))
}

/// Waits until all batches in flight are late. Without a spool, that makes no difference.
async fn spool_of_late(shared: &RecorderShared) -> &Spool {
    match &shared.spool {
        Some(spool) => {
            shared.late.all().await;
            spool
        }
        None => std::future::pending().await,
    }
}

/// Waits for a batch that is full, or whose oldest record waits for `delay`. `None` when the buffer is
/// closed and empty.
async fn next_batch(shared: &RecorderShared, delay: Duration) -> Option<RecordBatch> {
    loop {
        let next = shared.buffer().next_batch(Instant::now(), now_ms(), delay);
        match next {
            NextBatch::Ready(batch) => return Some(batch),
            NextBatch::Closed => return None,
            NextBatch::At(due) => {
                tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = shared.changed.notified() => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
