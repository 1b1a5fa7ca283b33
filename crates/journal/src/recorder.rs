//! How are records gathered without making anybody wait?
//!
//! A record goes into the spool; one task cuts batches off its front, and at most
//! [`BATCHES_AT_ONCE`] of them are on their way at a time. A batch that fails is given again for
//! ever. `recorder/spool.rs` holds what waits, within bounds.

mod spool;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::journal::{Journal, JournalError};
use crate::record::Record;
use spool::{Batch, Cut, Entry, Spool};

/// Two: one is written while the next is on its way.
const BATCHES_AT_ONCE: usize = 2;
/// A sink that takes longer has failed.
const PUT_WITHIN: Duration = Duration::from_secs(30);
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// While closing there is no time for long waits.
const LONGEST_WAIT_AT_CLOSE: Duration = Duration::from_millis(250);
/// What is not durable by then is given up.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Where a batch of records becomes durable: the journal itself, or a queue on the way to it.
pub trait Sink: Send + Sync + 'static {
    /// Makes the batch durable, or says in a sentence why it could not. It will be given again.
    fn put<'a>(
        &'a self,
        records: &'a [Record],
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;
}

impl Journal {
    /// Stores what can be stored, all else being left out and logged, so that one record does not
    /// stop the others. Returns how many were left out.
    ///
    /// # Errors
    /// [`JournalError::Unavailable`] alone: ask again later, with all of them.
    pub async fn record_each(&self, records: &[Record]) -> Result<usize, JournalError> {
        let (mut parts, mut left_out) = (vec![records], 0);
        while let Some(part) = parts.pop() {
            match (self.record(part).await, part) {
                (Ok(()), _) => {}
                (Err(JournalError::Refused(reason)), [record]) => {
                    let request_id = record.origin.request_id;
                    tracing::error!(%request_id, reason, "a record is left out");
                    left_out += 1;
                }
                (Err(JournalError::Refused(_)), _) => {
                    let (front, back) = part.split_at(part.len() / 2);
                    parts.extend([back, front]);
                }
                (Err(error @ JournalError::Unavailable(_)), _) => return Err(error),
            }
        }
        Ok(left_out)
    }
}

/// Straight into the tables.
impl Sink for Journal {
    fn put<'a>(
        &'a self,
        records: &'a [Record],
    ) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> {
        Box::pin(async move {
            let stored = self.record_each(records).await;
            stored.map(drop).map_err(|error| error.to_string())
        })
    }
}

/// The record was dropped (the spool is full), or the recorder is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record could not be kept")]
pub struct Unrecorded;

/// Gathers records into batches. Cheap to clone; never blocks.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Handle>);

/// When the last recorder is gone, what waits is written and the tasks end.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[derive(Debug)]
struct Shared {
    /// Never held across an await.
    spool: Mutex<Spool>,
    /// The first record of a batch came, or the last that it can hold, or the end.
    changed: Notify,
    /// Records that were dropped or given up.
    gap: AtomicU64,
    /// There is no time for long waits any more.
    closing: CancellationToken,
    /// Nobody waits for batches any more.
    given_up: CancellationToken,
}

impl Shared {
    fn spool(&self) -> MutexGuard<'_, Spool> {
        // Whoever panicked held it for a moment between two whole states.
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.spool().close();
        self.closing.cancel();
        self.changed.notify_one();
    }

    fn lost(&self, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        self.gap.fetch_add(records, Ordering::Relaxed);
    }
}

impl Recorder {
    /// Starts gathering, with at most `spool` records in memory. Within a Tokio runtime.
    pub fn start(sink: Arc<dyn Sink>, spool: usize) -> Self {
        let shared = Arc::new(Shared {
            spool: Mutex::new(Spool::new(spool)),
            changed: Notify::new(),
            gap: AtomicU64::new(0),
            closing: CancellationToken::new(),
            given_up: CancellationToken::new(),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(cut_batches(Arc::clone(&shared), sink, tasks.clone()));
        Self(Arc::new(Handle { shared, tasks }))
    }

    /// Hands a record over and goes on. Where the spool is full the record is dropped and counted.
    pub fn record(&self, record: Record) {
        self.hand_over(record, None);
    }

    /// Hands a record over and waits until it is durable.
    ///
    /// # Errors
    /// [`Unrecorded`]. Cancelling the wait leaves the record in the spool.
    pub async fn record_durably(&self, record: Record) -> Result<(), Unrecorded> {
        let (durable, wait) = oneshot::channel();
        self.hand_over(record, Some(durable));
        // Dropped without a word: it was not kept.
        wait.await.map_err(|_| Unrecorded)
    }

    fn hand_over(&self, record: Record, durable: Option<oneshot::Sender<()>>) {
        let shared = &self.0.shared;
        let entry = Entry::new(record, durable, Instant::now());
        let handed_over = shared.spool().push(entry);
        match handed_over {
            Ok(true) => shared.changed.notify_one(),
            Ok(false) => {}
            Err(Unrecorded) => shared.lost(1),
        }
    }

    /// How many records were dropped since the start.
    pub fn gap(&self) -> u64 {
        self.0.shared.gap.load(Ordering::Relaxed)
    }

    /// How many records wait in memory.
    pub fn waiting(&self) -> usize {
        self.0.shared.spool().waiting()
    }

    /// When the oldest record in memory was handed over, if one waits. Whatever was handed over
    /// before it is durable.
    pub fn oldest_waiting(&self) -> Option<Instant> {
        self.0.shared.spool().oldest()
    }

    /// Makes everything handed over so far durable, then ends. What cannot be made durable within
    /// 5 s is given up and counted.
    pub async fn close(&self) {
        let Handle { shared, tasks } = &*self.0;
        shared.close();
        tasks.close();
        if tokio::time::timeout(CLOSE_WITHIN, tasks.wait())
            .await
            .is_ok()
        {
            return;
        }
        shared.given_up.cancel();
        tasks.wait().await;
        let left = shared.spool().give_up();
        if left > 0 {
            shared.lost(left);
            tracing::error!(records = left, "the journal took no records before the end");
        }
    }
}

/// Cuts batches off the spool until it is closed and empty.
async fn cut_batches(shared: Arc<Shared>, sink: Arc<dyn Sink>, tasks: TaskTracker) {
    let room = Arc::new(Semaphore::new(BATCHES_AT_ONCE));
    loop {
        // A batch is cut only when it can go: meanwhile it grows.
        let permit = tokio::select! {
            permit = Arc::clone(&room).acquire_owned() => permit,
            () = shared.given_up.cancelled() => return,
        };
        let Ok(permit) = permit else { return };
        let batch = tokio::select! {
            batch = next_batch(&shared) => batch,
            () = shared.given_up.cancelled() => return,
        };
        let Some(batch) = batch else { return };
        let (shared, sink) = (Arc::clone(&shared), Arc::clone(&sink));
        tasks.spawn(async move {
            if let Some(batch) = deliver(&shared, &*sink, batch).await {
                // Whoever is told sees that it does not wait any more.
                shared.spool().durable(&batch);
                batch.tell();
            }
            drop(permit);
        });
    }
}

/// Waits for a batch that is full or old enough. `None` when there will be none any more.
async fn next_batch(shared: &Shared) -> Option<Batch> {
    loop {
        let cut = shared.spool().cut(Instant::now());
        match cut {
            Cut::Batch(batch) => return Some(batch),
            Cut::Closed => return None,
            Cut::Empty => shared.changed.notified().await,
            Cut::NotBefore(moment) => {
                let until = tokio::time::sleep_until(moment.into());
                tokio::select! {
                    () = until => {}
                    () = shared.changed.notified() => {}
                }
            }
        }
    }
}

/// Gives the batch to the sink until it is durable. `None` when nobody waits for that any more.
async fn deliver(shared: &Shared, sink: &dyn Sink, batch: Batch) -> Option<Batch> {
    let mut wait = FIRST_WAIT;
    loop {
        let put = tokio::time::timeout(PUT_WITHIN, sink.put(batch.records()));
        let put = tokio::select! {
            put = put => put.unwrap_or_else(|_| Err("it takes too long".to_owned())),
            () = shared.given_up.cancelled() => return None,
        };
        let Err(reason) = put else {
            return Some(batch);
        };
        let records = batch.records().len();
        tracing::warn!(records, reason, "records wait for the journal");
        if shared.closing.is_cancelled() {
            tokio::time::sleep(wait.min(LONGEST_WAIT_AT_CLOSE)).await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shared.closing.cancelled() => {}
            }
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

#[cfg(test)]
mod tests;
