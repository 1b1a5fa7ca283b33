//! The thread that owns the database: group commit.
//!
//! It takes every waiting command (at most [`MAX_BATCH`]), executes them in one transaction, and
//! answers when that is synced. Only this thread adds to memory what has just become durable, so
//! that a page read from disk and a message just published cannot overtake each other.

use super::batch::{BatchTransaction, KeyPage, StoreEffect, answer};
use super::command::{NewMessage, StoreCommand};
use super::files::DataFiles;
use super::schema::MessageTable;
use super::space::DiskSpace;
use super::state::QueueStates;
use crate::embedded::clock::StoreClock;
use crate::embedded::queue::lease_table::DroppedLease;
use crate::message::Queue;
use crate::publish_error::{PublishError, RefusedReason, UnknownReason};
use crate::settlement::REDELIVERY_PAUSE;
use crate::state::{ConnectionState, Depth, Depths};
use failpoints::crash_point;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Commands in one transaction.
const MAX_BATCH: usize = 512;
/// Bytes of new messages in one transaction, but for the last one. Bounds the write-ahead log, and
/// what is written between two looks at the disk.
const MAX_BATCH_BYTES: u64 = 16 * 1024 * 1024;
/// How often the depths are published, and a blocked disk is probed.
const DEPTHS_INTERVAL: Duration = Duration::from_secs(1);
/// How soon a failed batch is retried.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// What the thread owns.
pub(in crate::embedded) struct StoreThread {
    table: MessageTable,
    queues: Arc<QueueStates>,
    commands: Receiver<StoreCommand>,
    /// Publishes that wait; the sending side refuses beyond a bound.
    pub(in crate::embedded) waiting_publishes: Arc<AtomicUsize>,
    /// The next number, as far as it is durable; for [`StoreCommand::RemoveWaiting`].
    pub(in crate::embedded) durable_number: Arc<AtomicI64>,
    /// Whether the disk takes anything.
    state: watch::Sender<ConnectionState>,
    /// Whether new callbacks are accepted.
    accepting: watch::Sender<ConnectionState>,
    depths: watch::Sender<Depths>,
    watched: Watched,
    clock: StoreClock,
    /// SQLite found the file damaged. Only a restart checks it again.
    damaged: bool,
    /// Dropped messages and when they are redelivered, in order.
    dropped: VecDeque<(Instant, DroppedLease)>,
    next_number: i64,
    /// Messages with lower numbers were on disk when the process started, and may have been
    /// delivered before.
    recovered_below: i64,
    /// Messages on disk, by the position of the queue in [`Queue::ALL`].
    totals: [i64; Queue::ALL.len()],
}

/// What the thread watches outside the database.
pub(in crate::embedded) struct Watched {
    pub(in crate::embedded) space: DiskSpace,
    pub(in crate::embedded) files: DataFiles,
}

impl StoreThread {
    #[expect(clippy::too_many_arguments, reason = "they are its fields")]
    pub(in crate::embedded) fn new(
        table: MessageTable,
        queues: Arc<QueueStates>,
        commands: Receiver<StoreCommand>,
        state: watch::Sender<ConnectionState>,
        accepting: watch::Sender<ConnectionState>,
        depths: watch::Sender<Depths>,
        watched: Watched,
        clock: StoreClock,
    ) -> rusqlite::Result<Self> {
        let shortened = table.shorten_waits(clock.now_ms())?;
        if shortened > 0 {
            tracing::warn!(
                messages = shortened,
                "delayed messages were stored under a clock that was ahead; each waits its own \
                 delay from now"
            );
        }
        let next_number = table.last_number()? + 1;
        let mut totals = [0; Queue::ALL.len()];
        for (total, queue) in totals.iter_mut().zip(Queue::ALL) {
            *total = i64::from(table.count(queue)?);
        }
        let mut this = Self {
            table,
            queues,
            commands,
            waiting_publishes: Arc::default(),
            durable_number: Arc::new(AtomicI64::new(next_number)),
            state,
            accepting,
            depths,
            watched,
            clock,
            damaged: false,
            dropped: VecDeque::new(),
            next_number,
            recovered_below: next_number,
            totals,
        };
        // Before the first callback.
        let _ = this.admits(0);
        Ok(this)
    }

    /// Runs until it is stopped or every sender of commands is dropped. Returns the channel to
    /// answer the stop on.
    pub(in crate::embedded) fn run(mut self) -> Option<oneshot::Sender<()>> {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut depths_published: Option<Instant> = None;
        loop {
            if depths_published.is_none_or(|at| at.elapsed() >= DEPTHS_INTERVAL) {
                self.publish_depths();
                let _ = self.admits(0); // Shown to whoever asks.
                depths_published = Some(Instant::now());
            }
            let mut wait = if batch.is_empty() {
                DEPTHS_INTERVAL
            } else {
                RETRY_INTERVAL
            };
            if let Some((at, _)) = self.dropped.front() {
                wait = wait.min(at.saturating_duration_since(Instant::now()));
            }
            let mut bytes = 0;
            match self.commands.recv_timeout(wait) {
                Ok(command) => bytes += self.collect(command, &mut batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if batch.is_empty() => break,
                // No sender is left, but a failed batch must still be retried.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "this thread is not a runtime thread"
                )]
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(RETRY_INTERVAL),
            }
            while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
                let Ok(command) = self.commands.try_recv() else {
                    break;
                };
                bytes += self.collect(command, &mut batch);
            }
            self.redeliver_dropped(&mut batch);
            let stop = batch
                .iter()
                .position(|command| matches!(command, StoreCommand::Stop { .. }));
            let stop = stop.map(|position| batch.remove(position));
            batch = self.commit(batch);
            if let Some(StoreCommand::Stop { done }) = stop {
                self.table.close();
                return Some(done);
            }
        }
        self.table.close();
        None
    }

    /// Adds a command to the batch. Returns the bytes that it stores.
    fn collect(&mut self, command: StoreCommand, batch: &mut Vec<StoreCommand>) -> u64 {
        let bytes = match &command {
            StoreCommand::Publish { message, .. }
            | StoreCommand::Settle {
                follow_up: Some(message),
                ..
            } => message.stored_bytes(),
            _ => 0,
        };
        match command {
            StoreCommand::Dropped(lease) => {
                let at = Instant::now() + REDELIVERY_PAUSE;
                self.dropped.push_back((at, lease));
            }
            command => batch.push(command),
        }
        bytes
    }

    /// Adds the redelivery of each dropped message whose pause is over.
    fn redeliver_dropped(&mut self, batch: &mut Vec<StoreCommand>) {
        let now = Instant::now();
        while self.dropped.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, lease)) = self.dropped.pop_front() else {
                return;
            };
            let queue = lease.queue;
            if let Some((key, permit)) = lease.end() {
                batch.push(StoreCommand::Redeliver {
                    queue,
                    key,
                    _permit: permit,
                });
            }
        }
    }

    /// Looks at the disk and the files: whether so many bytes of new callbacks are accepted.
    fn admits(&mut self, bytes: u64) -> Result<(), RefusedReason> {
        let reusable = self.table.reusable_bytes().unwrap_or_default();
        let Watched { space, files } = &mut self.watched;
        let seen = space.look(reusable);
        let has_space = space.admits(seen, bytes);
        let has_files = files.look();
        self.show_accepting();
        match (has_files, has_space) {
            (true, true) => Ok(()),
            (true, false) => Err(RefusedReason::LowDisk),
            (false, _) => Err(RefusedReason::Blocked),
        }
    }

    /// Shows whether new callbacks are accepted.
    fn show_accepting(&self) {
        let Watched { space, files } = &self.watched;
        let state = match &*self.state.borrow() {
            ConnectionState::Connected => match (files.refusal(), space.refusal()) {
                (Some(reason), _) => ConnectionState::Unusable(reason),
                (None, Some(reason)) => ConnectionState::Blocked(reason),
                (None, None) => ConnectionState::Connected,
            },
            state => state.clone(),
        };
        self.accepting.send_if_modified(|shown| {
            let changed = *shown != state;
            *shown = state;
            changed
        });
    }

    /// Refuses the new callbacks of a batch that the disk has no space for, or that the next start
    /// would not find.
    fn refuse_callbacks(&mut self, batch: &mut Vec<StoreCommand>) {
        let new_bytes = |command: &StoreCommand| match command {
            StoreCommand::Publish {
                message:
                    message @ NewMessage {
                        is_callback: true, ..
                    },
                ..
            } => Some(message.stored_bytes()),
            _ => None,
        };
        let bytes: u64 = batch.iter().filter_map(new_bytes).sum();
        // All or none: a batch is small beside the floor.
        if bytes == 0 {
            return;
        }
        let Err(reason) = self.admits(bytes) else {
            return;
        };
        for command in std::mem::take(batch) {
            match command {
                StoreCommand::Publish { message, reply } if message.is_callback => {
                    self.waiting_publishes.fetch_sub(1, Ordering::Relaxed);
                    let _ = reply.send(Err(PublishError::Refused(reason)));
                }
                command => batch.push(command),
            }
        }
    }

    /// Executes a batch in one transaction. Returns what must be retried.
    fn commit(&mut self, mut batch: Vec<StoreCommand>) -> Vec<StoreCommand> {
        self.refuse_callbacks(&mut batch);
        let blocked = self.is_blocked();
        if batch.is_empty() && (!blocked || self.damaged) {
            return batch;
        }
        let published = batch
            .iter()
            .filter(|command| matches!(command, StoreCommand::Publish { .. }))
            .count();
        let mut transaction = BatchTransaction {
            queues: &self.queues,
            next_number: self.next_number,
            recovered_below: self.recovered_below,
            effects: Vec::with_capacity(batch.len()),
            reads: Vec::new(),
            removed: Vec::new(),
            reserved: Vec::new(),
        };
        let damaged = self.damaged;
        crash_point!("store.begin");
        let committed = self.table.transaction(|table| {
            if blocked && !damaged {
                table.probe(transaction.next_number)?;
            }
            batch
                .iter()
                .try_for_each(|command| transaction.execute(table, command))?;
            crash_point!("store.written");
            Ok(())
        });
        let BatchTransaction {
            next_number,
            effects,
            reads,
            removed,
            reserved,
            ..
        } = transaction;
        self.waiting_publishes
            .fetch_sub(published, Ordering::Relaxed);
        match committed {
            Ok(()) => {
                crash_point!("store.committed");
                self.next_number = next_number;
                self.durable_number.store(next_number, Ordering::Release);
                self.apply(effects);
                answer(batch, reads, removed, &self.callbacks_answer(published));
                crash_point!("store.answered");
                if blocked && !damaged {
                    tracing::info!("the queue's disk accepts messages again");
                    self.state.send_replace(ConnectionState::Connected);
                    self.show_accepting();
                }
                Vec::new()
            }
            Err(error) => {
                self.queues.put_back(Queue::Retry, reserved);
                self.fail(batch, &error)
            }
        }
    }

    /// The answer to the callbacks of a batch that is durable, out of so many publishes. The next
    /// start does not find them if the files were removed meanwhile.
    fn callbacks_answer(&mut self, published: usize) -> Result<(), PublishError> {
        if published == 0 || self.watched.files.look() {
            return Ok(());
        }
        self.show_accepting();
        Err(PublishError::Unknown(UnknownReason::ConnectionLost))
    }

    fn is_blocked(&self) -> bool {
        *self.state.borrow() != ConnectionState::Connected
    }

    /// The batch was rolled back. Answers publishers and returns the commands that must not be
    /// lost.
    fn fail(&mut self, batch: Vec<StoreCommand>, error: &rusqlite::Error) -> Vec<StoreCommand> {
        if !self.is_blocked() {
            let file = self.table.file();
            tracing::error!(%error, file, "the queue's disk accepts no messages");
        }
        let failure = failure_of(error);
        self.damaged |= failure == Failure::Damaged;
        if !self.damaged || failure == Failure::Damaged {
            self.state
                .send_replace(failure.state(error, self.table.file()));
        }
        self.show_accepting();
        // A full disk refuses before the commit is written. After any other failure the log may
        // hold the commit anyway, and a restart would find it.
        let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        let refusal = if full {
            PublishError::Refused(RefusedReason::Blocked)
        } else {
            PublishError::Unknown(UnknownReason::ConnectionLost)
        };
        let mut retry = Vec::new();
        for command in batch {
            match command {
                StoreCommand::Publish { reply, .. } => {
                    let _ = reply.send(Err(refusal.clone()));
                }
                StoreCommand::LoadPage { queue } => {
                    if let Some(state) = self.queues.lock().get_mut(&queue) {
                        state.loading = false;
                    }
                }
                // Dropping its reply says so. What remains is checked before its attempt.
                StoreCommand::RemoveWaiting { .. } => {}
                // Reading it again would keep settlements from being written.
                StoreCommand::ReadBodies { .. } | StoreCommand::Redeliver { .. }
                    if self.damaged => {}
                command @ (StoreCommand::Settle { .. }
                | StoreCommand::Dropped(_)
                | StoreCommand::Redeliver { .. }
                | StoreCommand::ReadBodies { .. }
                | StoreCommand::Flush { .. }
                | StoreCommand::Stop { .. }) => retry.push(command),
            }
        }
        retry
    }

    fn apply(&mut self, effects: Vec<StoreEffect>) {
        let mut queues = self.queues.lock();
        for effect in effects {
            match effect {
                StoreEffect::Stored { queue, key, body } => {
                    self.totals[position(queue)] += 1;
                    if let Some(state) = queues.get_mut(&queue) {
                        match queue {
                            // Its headers are read with its body.
                            Queue::Unreadable => state.index.put_back(key, false),
                            _ => state.index.insert_stored(key, body),
                        }
                    }
                }
                StoreEffect::Removed { queue, number } => {
                    self.totals[position(queue)] -= 1;
                    if let Some(state) = queues.get_mut(&queue) {
                        state.taken.remove(&number);
                    }
                }
                StoreEffect::Returned { queue, key } => {
                    if let Some(state) = queues.get_mut(&queue) {
                        state.taken.remove(&key.1);
                        state.index.put_back(key, true);
                    }
                }
                StoreEffect::PageLoaded { queue, page } => {
                    let Some(state) = queues.get_mut(&queue) else {
                        continue;
                    };
                    state.loading = false;
                    // If the horizon has moved back meanwhile, this page would leave a gap.
                    if let Some(KeyPage {
                        after,
                        keys,
                        is_last,
                    }) = page
                        && state.index.horizon_key() == Some(after)
                    {
                        let last = keys.last().copied();
                        let free = keys.into_iter().filter(|key| !state.taken.contains(&key.1));
                        state.index.add_page(free, last, is_last);
                    }
                }
            }
        }
        drop(queues);
        self.queues.changed.notify_waiters();
    }

    fn publish_depths(&mut self) {
        let now = self.clock.now_ms();
        let mut depths = Depths::default();
        for queue in Queue::ALL {
            depths.set(queue, Depth::fresh(self.not_taken(queue)));
        }
        let waiting = self.not_taken(Queue::Retry);
        let due = self.due_retries(now).min(waiting);
        depths.set(Queue::Retry, Depth::fresh(due));
        depths.delayed = Depth::fresh(waiting - due);
        depths.oldest_due_age = self.oldest_due_age(now);
        depths.stored_bytes = self.table.stored_bytes().ok();
        self.depths.send_replace(depths);
    }

    /// The messages of a queue that no consumer has taken.
    fn not_taken(&self, queue: Queue) -> u32 {
        let queues = self.queues.lock();
        let taken = queues.get(&queue).map_or(0, |state| state.taken.len());
        u32::try_from(self.totals[position(queue)])
            .unwrap_or(0)
            .saturating_sub(u32::try_from(taken).unwrap_or(0))
    }

    /// The retries that are due at `now` and that no consumer has taken.
    fn due_retries(&self, now: u64) -> u32 {
        let (in_memory, horizon) = match self.queues.lock().get(&Queue::Retry) {
            Some(state) => (state.index.count_due(now), state.index.horizon_key()),
            None => (0, Some((0, 0))),
        };
        let on_disk = match horizon {
            Some(after) if after.0 <= now => self
                .table
                .count_due_after(Queue::Retry, after, now)
                .unwrap_or_default(),
            _ => 0,
        };
        u32::try_from(in_memory)
            .unwrap_or(u32::MAX)
            .saturating_add(on_disk)
    }

    /// How long the oldest message of the work queues has been due.
    fn oldest_due_age(&self, now: u64) -> Option<Duration> {
        let oldest = [Queue::First, Queue::Retry].map(|queue| self.oldest_due(queue));
        let age = now.checked_sub(oldest.into_iter().flatten().min()?)?;
        Some(Duration::from_millis(age))
    }

    /// When the first message of a queue that no consumer has taken is, or was, due.
    fn oldest_due(&self, queue: Queue) -> Option<u64> {
        let (in_memory, horizon) = match self.queues.lock().get(&queue) {
            Some(state) => (state.index.next_due(), state.index.horizon_key()),
            None => (None, Some((0, 0))),
        };
        // Memory is complete up to the horizon, and nothing beyond it is taken.
        let on_disk = match horizon {
            Some(after) if in_memory.is_none_or(|due| due > after.0) => {
                let next = self.table.page(queue, after, 1).unwrap_or_default();
                next.first().map(|key| key.0)
            }
            Some(_) | None => None,
        };
        in_memory.into_iter().chain(on_disk).min()
    }
}

/// What a failed transaction says of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It may pass by itself: a full disk, a lock.
    Passing,
    /// The disk fails.
    Disk,
    /// The file is damaged.
    Damaged,
}

impl Failure {
    /// `file`: the path of `queue.db`.
    fn state(self, error: &rusqlite::Error, file: &str) -> ConnectionState {
        match self {
            Self::Passing => ConnectionState::Blocked(format!("{error} ({file})")),
            Self::Disk => ConnectionState::Unusable(format!(
                "the disk of {file} fails ({error}): repair the disk or its file system, then \
                 restart"
            )),
            Self::Damaged => ConnectionState::Unusable(format!(
                "{file} is damaged ({error}): stop the process, keep a copy of the data \
                 directory, then restore a backup or recover the file (runbook: the data directory \
                 is damaged)"
            )),
        }
    }
}

fn failure_of(error: &rusqlite::Error) -> Failure {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseCorrupt, NotADatabase, ReadOnly, SystemIoFailure,
    };
    match error.sqlite_error_code() {
        Some(DatabaseCorrupt | NotADatabase) => Failure::Damaged,
        Some(SystemIoFailure | ReadOnly | CannotOpen) => Failure::Disk,
        _ => Failure::Passing,
    }
}

fn position(queue: Queue) -> usize {
    Queue::ALL
        .iter()
        .position(|other| *other == queue)
        .unwrap_or_default()
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn a_failure_says_whether_it_passes_and_what_to_do() {
        for (code, failure, words) in [
            (ffi::SQLITE_FULL, Failure::Passing, "blocked: "),
            (ffi::SQLITE_BUSY, Failure::Passing, "blocked: "),
            (ffi::SQLITE_IOERR_WRITE, Failure::Disk, "repair the disk"),
            (ffi::SQLITE_READONLY, Failure::Disk, "repair the disk"),
            (ffi::SQLITE_CORRUPT, Failure::Damaged, "restore a backup"),
            (ffi::SQLITE_NOTADB, Failure::Damaged, "restore a backup"),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            assert_eq!(failure_of(&error), failure, "{error}");
            let state = failure.state(&error, "/data/queue.db");
            assert!(state.to_string().contains("/data/queue.db"), "{state}");
            assert_eq!(state.is_unusable(), failure != Failure::Passing);
            assert!(state.to_string().contains(words), "{state}");
        }
    }
}
