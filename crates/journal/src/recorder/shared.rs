//! What the tasks of a recorder share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use contract::unix_ms;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::buffer::{BufferedRecord, RecordBuffer, RecordDropped};
use super::late_batches::LateBatches;
use super::spool::Spool;
use crate::model::Record;

/// The tasks of a recorder. When the last handle is dropped, what is buffered is written and they end.
#[derive(Debug)]
pub(super) struct RecorderTasks {
    pub(super) shared: Arc<RecorderShared>,
    pub(super) tasks: TaskTracker,
}

impl Drop for RecorderTasks {
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// What the tasks of a recorder share.
#[derive(Debug)]
pub(super) struct RecorderShared {
    /// Never held across an await.
    pub(super) buffer: Mutex<RecordBuffer>,
    /// Notified by the first record of a batch, by the one that fills it, and by the close.
    pub(super) changed: Notify,
    pub(super) spool: Option<Spool>,
    pub(super) late: LateBatches,
    /// Records that were dropped.
    pub(super) dropped: AtomicU64,
    /// Closing: retries wait only briefly.
    pub(super) closing: CancellationToken,
    /// The close timed out: records that are not durable are dropped.
    pub(super) aborted: CancellationToken,
    /// The journal knows this recorder.
    pub(super) registered: AtomicBool,
}

impl RecorderShared {
    /// Buffers a record. The time is taken within the lock, so that it is in the order of the numbers.
    pub(super) fn push(&self, record: Record, durable: Option<oneshot::Sender<()>>) {
        let durable = durable.filter(|_| !self.late.is_stuck());
        let mut buffer = self.buffer();
        let pushed = buffer.push(
            BufferedRecord {
                record,
                durable,
                recorded_at: Instant::now(),
            },
            now_ms(),
        );
        drop(buffer);
        match pushed {
            Ok(true) => self.changed.notify_one(),
            Ok(false) => {}
            Err(RecordDropped) => self.count_dropped(1),
        }
    }

    /// The records in memory.
    pub(super) fn buffer(&self) -> MutexGuard<'_, RecordBuffer> {
        // A panic cannot leave the buffer half changed.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts no more records, and hurries the retries.
    pub(super) fn close(&self) {
        self.buffer().close();
        self.closing.cancel();
        self.changed.notify_one();
    }

    /// Counts dropped records.
    pub(super) fn count_dropped(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }
}

/// Now, in Unix ms.
pub(super) fn now_ms() -> u64 {
    unix_ms(SystemTime::now())
}
