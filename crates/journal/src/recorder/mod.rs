//! The recorder: collects records in memory and writes them in batches, so that callers do not
//! wait.
//!
//! One task takes batches from the front of the buffer, and at most [`MAX_BATCHES_IN_FLIGHT`] are
//! being written at a time. A batch that fails is retried for ever.
//!
//! - `buffer.rs`: the records in memory, within bounds. `sink.rs`: where batches are written.

mod buffer;
mod sink;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::model::Record;
use buffer::{BufferedRecord, NextBatch, RecordBatch, RecordBuffer};

pub use buffer::RecordDropped;
pub use sink::RecordSink;

/// Two, so that one is written while the next is on its way.
const MAX_BATCHES_IN_FLIGHT: usize = 2;
/// A sink that takes longer counts as failed.
const PUT_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(50);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
/// The maximum delay while closing, which is limited to [`CLOSE_TIMEOUT`].
const MAX_RETRY_DELAY_AT_CLOSE: Duration = Duration::from_millis(250);
/// Records that are not durable by then are dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Collects records into batches. Cheap to clone; never blocks.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<RecorderTasks>);

/// When the last recorder is dropped, what is buffered is written and the tasks end.
#[derive(Debug)]
struct RecorderTasks {
    shared: Arc<RecorderShared>,
    tasks: TaskTracker,
}

impl Drop for RecorderTasks {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[derive(Debug)]
struct RecorderShared {
    /// Never held across an await.
    buffer: Mutex<RecordBuffer>,
    /// Notified by the first record of a batch, by the one that fills it, and by the close.
    changed: Notify,
    /// Records that were dropped.
    dropped: AtomicU64,
    /// Closing: retries wait only briefly.
    closing: CancellationToken,
    /// The close timed out: records that are not durable are dropped.
    aborted: CancellationToken,
}

impl RecorderShared {
    fn buffer(&self) -> MutexGuard<'_, RecordBuffer> {
        // A panic cannot leave the buffer half changed.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.buffer().close();
        self.closing.cancel();
        self.changed.notify_one();
    }

    fn count_dropped(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }
}

impl Recorder {
    /// Starts a recorder with at most `capacity` records in memory. Call it inside a Tokio runtime.
    pub fn start(sink: Arc<dyn RecordSink>, capacity: usize) -> Self {
        let shared = Arc::new(RecorderShared {
            buffer: Mutex::new(RecordBuffer::new(capacity)),
            changed: Notify::new(),
            dropped: AtomicU64::new(0),
            closing: CancellationToken::new(),
            aborted: CancellationToken::new(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(write_batches(Arc::clone(&shared), sink, tasks.clone()));
        Self(Arc::new(RecorderTasks { shared, tasks }))
    }

    /// Buffers a record and returns. If the buffer is full, the record is dropped and counted.
    pub fn record(&self, record: Record) {
        self.push(record, None);
    }

    /// Buffers a record and waits until it is durable.
    ///
    /// # Errors
    /// [`RecordDropped`]. Cancelling the wait leaves the record in the buffer.
    pub async fn record_durably(&self, record: Record) -> Result<(), RecordDropped> {
        let (durable, wait) = oneshot::channel();
        self.push(record, Some(durable));
        // The sender is dropped with the record.
        wait.await.map_err(|_| RecordDropped)
    }

    fn push(&self, record: Record, durable: Option<oneshot::Sender<()>>) {
        let shared = &self.0.shared;
        let pushed = shared.buffer().push(BufferedRecord {
            record,
            durable,
            recorded_at: Instant::now(),
        });
        match pushed {
            Ok(true) => shared.changed.notify_one(),
            Ok(false) => {}
            Err(RecordDropped) => shared.count_dropped(1),
        }
    }

    /// How many records were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.0.shared.dropped.load(Ordering::Relaxed)
    }

    /// How many records are in memory.
    pub fn buffered(&self) -> usize {
        self.0.shared.buffer().len()
    }

    /// When the oldest record in memory was recorded, if there is one. Everything recorded before
    /// it is durable.
    pub fn oldest_buffered(&self) -> Option<Instant> {
        self.0.shared.buffer().oldest()
    }

    /// Makes all records so far durable, then ends. Those that are not durable within 5 s are
    /// dropped and counted.
    pub async fn close(&self) {
        let RecorderTasks { shared, tasks } = &*self.0;
        shared.close();
        tasks.close();
        let ended = tokio::time::timeout(CLOSE_TIMEOUT, tasks.wait()).await;
        if ended.is_ok() {
            return;
        }
        shared.aborted.cancel();
        tasks.wait().await;
        let records = shared.buffer().clear();
        if records > 0 {
            shared.count_dropped(records);
            tracing::error!(
                records,
                "records dropped at shutdown: the journal did not take them in time"
            );
        }
    }
}

/// Writes batches until the buffer is closed and empty.
async fn write_batches(shared: Arc<RecorderShared>, sink: Arc<dyn RecordSink>, tasks: TaskTracker) {
    let in_flight = Arc::new(Semaphore::new(MAX_BATCHES_IN_FLIGHT));
    loop {
        // Take a batch only when it can be sent; it grows until then.
        let permit = tokio::select! {
            permit = Arc::clone(&in_flight).acquire_owned() => permit,
            () = shared.aborted.cancelled() => return,
        };
        let Ok(permit) = permit else { return };
        let batch = tokio::select! {
            batch = next_batch(&shared) => batch,
            () = shared.aborted.cancelled() => return,
        };
        let Some(batch) = batch else { return };
        let (shared, sink) = (Arc::clone(&shared), Arc::clone(&sink));
        tasks.spawn(async move {
            if let Some(batch) = put_until_durable(&shared, &*sink, batch).await {
                // In this order: once a caller is notified, its record no longer counts as
                // buffered.
                shared.buffer().complete(&batch);
                batch.notify_durable();
            }
            drop(permit);
        });
    }
}

/// Waits for a batch that is full or old enough. `None` when the buffer is closed and empty.
async fn next_batch(shared: &RecorderShared) -> Option<RecordBatch> {
    loop {
        let next = shared.buffer().next_batch(Instant::now());
        match next {
            NextBatch::Ready(batch) => return Some(batch),
            NextBatch::Closed => return None,
            NextBatch::Empty => shared.changed.notified().await,
            NextBatch::At(due) => {
                tokio::select! {
                    () = tokio::time::sleep_until(due.into()) => {}
                    () = shared.changed.notified() => {}
                }
            }
        }
    }
}

/// Writes the batch again and again until it is durable. `None` when the recorder is aborted.
async fn put_until_durable(
    shared: &RecorderShared,
    sink: &dyn RecordSink,
    batch: RecordBatch,
) -> Option<RecordBatch> {
    let mut delay = FIRST_RETRY_DELAY;
    loop {
        let put = tokio::time::timeout(PUT_TIMEOUT, sink.put(batch.records()));
        let put = tokio::select! {
            put = put => put.unwrap_or_else(|_| Err("timed out".to_owned())),
            () = shared.aborted.cancelled() => return None,
        };
        let Err(reason) = put else {
            return Some(batch);
        };
        let records = batch.records().len();
        tracing::warn!(
            records,
            reason,
            "records could not be written to the journal; retrying"
        );
        if shared.closing.is_cancelled() {
            tokio::time::sleep(delay.min(MAX_RETRY_DELAY_AT_CLOSE)).await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = shared.closing.cancelled() => {}
            }
        }
        delay = (delay * 2).min(MAX_RETRY_DELAY);
    }
}

#[cfg(test)]
mod tests;
