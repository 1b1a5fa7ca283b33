//! The thread that owns the database: group commit.
//!
//! It takes every waiting command (at most [`MAX_BATCH`]), executes them in one transaction, and
//! answers when that is synced. Only this thread adds to memory what has just become durable, so
//! that a page read from disk and a message just published cannot overtake each other.

use super::batch::{BatchTransaction, KeyPage, StoreEffect, answer};
use super::command::StoreCommand;
use super::schema::MessageTable;
use super::state::QueueStates;
use crate::embedded::clock::unix_ms;
use crate::message::Queue;
use crate::publish_error::{PublishError, RefusedReason, UnknownReason};
use crate::state::{ConnectionState, Depths};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// Commands in one transaction.
const MAX_BATCH: usize = 512;
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
    state: watch::Sender<ConnectionState>,
    depths: watch::Sender<Depths>,
    next_number: i64,
    /// Messages with lower numbers were on disk when the process started, and may have been
    /// delivered before.
    recovered_below: i64,
    /// Messages on disk, by the position of the queue in [`Queue::ALL`].
    totals: [i64; Queue::ALL.len()],
}

impl StoreThread {
    pub(in crate::embedded) fn new(
        table: MessageTable,
        queues: Arc<QueueStates>,
        commands: Receiver<StoreCommand>,
        state: watch::Sender<ConnectionState>,
        depths: watch::Sender<Depths>,
    ) -> rusqlite::Result<Self> {
        let next_number = table.last_number()? + 1;
        let mut totals = [0; Queue::ALL.len()];
        for (total, queue) in totals.iter_mut().zip(Queue::ALL) {
            *total = i64::from(table.count(queue)?);
        }
        Ok(Self {
            table,
            queues,
            commands,
            waiting_publishes: Arc::default(),
            state,
            depths,
            next_number,
            recovered_below: next_number,
            totals,
        })
    }

    /// Runs until it is stopped or every sender of commands is dropped. Returns the channel to
    /// answer the stop on.
    pub(in crate::embedded) fn run(mut self) -> Option<oneshot::Sender<()>> {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        let mut depths_published: Option<Instant> = None;
        loop {
            if depths_published.is_none_or(|at| at.elapsed() >= DEPTHS_INTERVAL) {
                self.publish_depths();
                depths_published = Some(Instant::now());
            }
            let wait = if batch.is_empty() {
                DEPTHS_INTERVAL
            } else {
                RETRY_INTERVAL
            };
            match self.commands.recv_timeout(wait) {
                Ok(command) => batch.push(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if batch.is_empty() => break,
                // No sender is left, but a failed batch must still be retried.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "this thread is not a runtime thread"
                )]
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(RETRY_INTERVAL),
            }
            while batch.len() < MAX_BATCH {
                let Ok(command) = self.commands.try_recv() else {
                    break;
                };
                batch.push(command);
            }
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

    /// Executes a batch in one transaction. Returns what must be retried.
    fn commit(&mut self, batch: Vec<StoreCommand>) -> Vec<StoreCommand> {
        let blocked = self.is_blocked();
        if batch.is_empty() && !blocked {
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
        };
        let committed = self.table.transaction(|table| {
            if blocked {
                table.probe(transaction.next_number)?;
            }
            batch
                .iter()
                .try_for_each(|command| transaction.execute(table, command))
        });
        let BatchTransaction {
            next_number,
            effects,
            reads,
            ..
        } = transaction;
        self.waiting_publishes
            .fetch_sub(published, Ordering::Relaxed);
        match committed {
            Ok(()) => {
                self.next_number = next_number;
                self.apply(effects);
                answer(batch, reads);
                if blocked {
                    tracing::info!("the queue's disk accepts messages again");
                    self.state.send_replace(ConnectionState::Connected);
                }
                Vec::new()
            }
            Err(error) => self.fail(batch, &error),
        }
    }

    fn is_blocked(&self) -> bool {
        matches!(*self.state.borrow(), ConnectionState::Blocked(_))
    }

    /// The batch was rolled back. Answers publishers and returns the commands that must not be
    /// lost.
    fn fail(&mut self, batch: Vec<StoreCommand>, error: &rusqlite::Error) -> Vec<StoreCommand> {
        if !self.is_blocked() {
            tracing::error!(%error, "the queue's disk accepts no messages");
        }
        self.state
            .send_replace(ConnectionState::Blocked(error.to_string()));
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
                command @ (StoreCommand::Settle { .. }
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
                        state.index.insert_stored(key, body);
                    }
                }
                StoreEffect::Removed { queue, number } => {
                    self.totals[position(queue)] -= 1;
                    if let Some(state) = queues.get_mut(&queue) {
                        state.taken.remove(&number);
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
        let mut depths = Depths::default();
        for queue in Queue::ALL {
            let depth = match queue {
                Queue::Retry => self.due_retries(),
                Queue::First
                | Queue::DeliveryLimit
                | Queue::Unrouted
                | Queue::Dead
                | Queue::Unreadable
                | Queue::Journal => self.not_taken(queue),
            };
            depths.set(queue, depth);
        }
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

    /// The retries that are due and that no consumer has taken.
    fn due_retries(&self) -> u32 {
        let now = unix_ms();
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
}

fn position(queue: Queue) -> usize {
    Queue::ALL
        .iter()
        .position(|other| *other == queue)
        .unwrap_or_default()
}
