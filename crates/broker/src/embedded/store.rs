//! How do many that wait for durability share one sync?
//!
//! One thread owns the database. It takes everything that waits (at most [`MOST_TOGETHER`]), does it
//! in one transaction, and answers when that is synced. What has just become durable is put into
//! memory here and nowhere else, so that a page read from disk and a message just published can
//! never pass each other.

use super::batch::{Ask, Effect, Page, Work, answer};
use super::shared::Shared;
use super::table::Table;
use crate::{Depths, Lane, PublishError, Refused, State, Unknown};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};

/// Operations in one transaction.
const MOST_TOGETHER: usize = 512;
/// The depths are told, and a store that failed is tried again, this often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The thread's own state.
pub(super) struct Store {
    table: Table,
    shared: Arc<Shared>,
    asks: Receiver<Ask>,
    /// Publishes that wait; the sending side refuses beyond a bound.
    pub(super) waiting: Arc<AtomicUsize>,
    state: watch::Sender<State>,
    depths: watch::Sender<Depths>,
    next_number: i64,
    /// Messages below it lay on disk when the process began, and may have been handed out before.
    recovered_below: i64,
    totals: [i64; Lane::ALL.len()],
}

impl Store {
    pub(super) fn new(
        table: Table,
        shared: Arc<Shared>,
        asks: Receiver<Ask>,
        state: watch::Sender<State>,
        depths: watch::Sender<Depths>,
    ) -> rusqlite::Result<Self> {
        let next_number = table.last_number()? + 1;
        let mut totals = [0; Lane::ALL.len()];
        for (total, lane) in totals.iter_mut().zip(Lane::ALL) {
            *total = i64::from(table.count(lane)?);
        }
        Ok(Self {
            table,
            shared,
            asks,
            waiting: Arc::default(),
            state,
            depths,
            next_number,
            recovered_below: next_number,
            totals,
        })
    }

    /// Runs until it is told to stop, or everybody who could ask is gone. Returns who waits for the
    /// end.
    pub(super) fn run(mut self) -> Option<oneshot::Sender<()>> {
        let mut batch = Vec::with_capacity(MOST_TOGETHER);
        let mut looked: Option<Instant> = None;
        loop {
            if looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
                self.look();
                looked = Some(Instant::now());
            }
            let wait = if batch.is_empty() {
                LOOK_EVERY
            } else {
                TRY_AGAIN_AFTER
            };
            match self.asks.recv_timeout(wait) {
                Ok(ask) => batch.push(ask),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if batch.is_empty() => break,
                // Nobody can ask any more, but something is still to be done.
                Err(RecvTimeoutError::Disconnected) => std::thread::park_timeout(TRY_AGAIN_AFTER),
            }
            while batch.len() < MOST_TOGETHER {
                let Ok(ask) = self.asks.try_recv() else { break };
                batch.push(ask);
            }
            let stop = batch.iter().position(|ask| matches!(ask, Ask::Stop { .. }));
            let stop = stop.map(|place| batch.remove(place));
            batch = self.together(batch);
            if let Some(Ask::Stop { done }) = stop {
                self.table.close();
                return Some(done);
            }
        }
        self.table.close();
        None
    }

    /// Does a batch in one transaction. Returns what must be tried again.
    fn together(&mut self, batch: Vec<Ask>) -> Vec<Ask> {
        let blocked = matches!(*self.state.borrow(), State::Blocked(_));
        if batch.is_empty() && !blocked {
            return batch;
        }
        let published = batch
            .iter()
            .filter(|ask| matches!(ask, Ask::Publish { .. }))
            .count();
        let mut work = Work {
            shared: &self.shared,
            next_number: self.next_number,
            recovered_below: self.recovered_below,
            effects: Vec::with_capacity(batch.len()),
            reads: Vec::new(),
        };
        let done = self.table.together(|table| {
            if blocked {
                table.probe(work.next_number)?;
            }
            batch.iter().try_for_each(|ask| work.perform(table, ask))
        });
        let Work {
            next_number,
            effects,
            reads,
            ..
        } = work;
        self.waiting.fetch_sub(published, Ordering::Relaxed);
        match done {
            Ok(()) => {
                self.next_number = next_number;
                self.apply(effects);
                answer(batch, reads);
                if blocked {
                    tracing::info!("the queue's disk takes messages again");
                    self.state.send_replace(State::Connected);
                }
                Vec::new()
            }
            Err(error) => self.fail(batch, &error),
        }
    }

    /// Nothing of the batch was done. Publishers are told; what must not be lost is kept.
    fn fail(&mut self, batch: Vec<Ask>, error: &rusqlite::Error) -> Vec<Ask> {
        if !matches!(*self.state.borrow(), State::Blocked(_)) {
            tracing::error!(%error, "the queue's disk takes no messages");
        }
        self.state.send_replace(State::Blocked(error.to_string()));
        // A full disk refuses before the commit is written. After any other failure the log may
        // hold the commit all the same, and a restart would find it.
        let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        let refusal = if full {
            PublishError::Refused(Refused::Blocked)
        } else {
            PublishError::Unknown(Unknown::ConnectionLost)
        };
        let mut kept = Vec::new();
        for ask in batch {
            match ask {
                Ask::Publish { reply, .. } => {
                    let _ = reply.send(Err(refusal.clone()));
                }
                Ask::Page { lane } => {
                    if let Some(state) = self.shared.lanes().get_mut(&lane) {
                        state.loading = false;
                    }
                }
                ask => kept.push(ask),
            }
        }
        kept
    }

    fn apply(&mut self, effects: Vec<Effect>) {
        let mut lanes = self.shared.lanes();
        for effect in effects {
            match effect {
                Effect::Put { lane, key, body } => {
                    self.totals[place(lane)] += 1;
                    if let Some(state) = lanes.get_mut(&lane) {
                        state.index.put(key, body);
                    }
                }
                Effect::Gone { lane, number } => {
                    self.totals[place(lane)] -= 1;
                    if let Some(state) = lanes.get_mut(&lane) {
                        state.in_hand.remove(&number);
                    }
                }
                Effect::Page { lane, page } => {
                    let Some(state) = lanes.get_mut(&lane) else {
                        continue;
                    };
                    state.loading = false;
                    // Read after a horizon that has been drawn in meanwhile, it would leave a gap.
                    if let Some(Page { after, keys, whole }) = page
                        && state.index.known_up_to() == Some(after)
                    {
                        let last = keys.last().copied();
                        let free = keys
                            .into_iter()
                            .filter(|key| !state.in_hand.contains(&key.1));
                        state.index.page(free, last, whole);
                    }
                }
            }
        }
        drop(lanes);
        self.shared.news.notify_waiters();
    }

    /// Tells how much waits in each lane.
    fn look(&mut self) {
        let now = unix_ms();
        let waits = |lane: Lane| {
            let lanes = self.shared.lanes();
            let in_hand = lanes.get(&lane).map_or(0, |state| state.in_hand.len());
            let total = self.totals[place(lane)];
            u32::try_from(total)
                .unwrap_or(0)
                .saturating_sub(u32::try_from(in_hand).unwrap_or(0))
        };
        let retry = {
            let lanes = self.shared.lanes();
            let state = lanes.get(&Lane::Retry);
            let near = state.map_or(0, |state| state.index.due(now));
            (
                near,
                state.map_or(Some((0, 0)), |state| state.index.known_up_to()),
            )
        };
        let beyond = match retry.1 {
            Some(after) if after.0 <= now => self
                .table
                .due_after(Lane::Retry, after, now)
                .unwrap_or_default(),
            _ => 0,
        };
        self.depths.send_replace(Depths {
            first: waits(Lane::First),
            retry: u32::try_from(retry.0)
                .unwrap_or(u32::MAX)
                .saturating_add(beyond),
            delivery_limit: waits(Lane::DeliveryLimit),
            unrouted: waits(Lane::Unrouted),
            dead: waits(Lane::Dead),
            poison: waits(Lane::Poison),
            journal: waits(Lane::Journal),
        });
    }
}

fn place(lane: Lane) -> usize {
    Lane::ALL
        .iter()
        .position(|it| *it == lane)
        .unwrap_or_default()
}

/// Now, Unix ms.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
