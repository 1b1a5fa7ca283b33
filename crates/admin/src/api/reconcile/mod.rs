//! Reconciles the dead-letter queue with the journal: removes stale copies, and records dead letters
//! that the journal does not know.
//!
//! `docs/decisions/0008-*.md` says why this is needed, `0025-*.md` when it is done (`schedule.rs`). A
//! pass reads at most as many messages as the queue holds at its start, because it puts messages
//! back at the end of the queue.

mod schedule;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering as Memory};
use std::time::Duration;

use broker::{Broker, BrokerMessage, Consumer, Depth, Queue, Received, Settlement};
use contract::{CallbackStatus, Message};
use delivery::{CalleeRegistry, DeadLetterReason, TargetUrl};
use futures_util::future::join_all;
use journal::{ControlState, Journal, JournalError, Record, RecordedState, StoredAuditEntry};
use runtime::Reloadable;
use runtime::clock::now_ms;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::reason;
use schedule::{DAILY, PassNeed, PassProgress, STEP_INTERVAL, pass_need};

/// How many messages are held at a time.
const BATCH_SIZE: u16 = 64;
/// A queue that delivers nothing for this long is empty or unavailable.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// A message that arrives within this time of the one before joins its batch.
const BATCH_WINDOW: Duration = Duration::from_millis(50);
/// How long a stop waits until the held messages are settled.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for a fresh depth of the queue.
const DEPTH_TIMEOUT: Duration = Duration::from_secs(3);
/// A run begins after this time without further requests,
const QUIET_PERIOD: Duration = Duration::from_secs(5);
/// but at most this long after the first request.
const MAX_DELAY: Duration = Duration::from_secs(300);

/// The lease of the process that reads the queue in the background.
const LEASE: &str = "dead_letters.reconcile";
/// Longer than a step and the time until the next.
const LEASE_DURATION: Duration = Duration::from_secs(180);
/// The lease that lets a pass begin because of the time: nobody gives it back.
const DAILY_LEASE: &str = "dead_letters.daily_pass";
/// How many of the newest audit entries are read to estimate the number of stale copies.
const MAX_AUDITS: u32 = 1_000;

/// Requests to reconcile, from the request handlers.
#[derive(Debug, Default)]
pub(super) struct ReconcileRequests {
    /// The whole queue, however long it is.
    whole: AtomicBool,
    notify: Notify,
}

impl ReconcileRequests {
    /// Some copies may be stale now.
    pub(super) fn some_are_stale(&self) {
        self.notify.notify_one();
    }

    /// An operator asked for it.
    pub(super) fn whole_queue(&self) {
        self.whole.store(true, Memory::Relaxed);
        self.notify.notify_one();
    }
}

/// Reconciles the dead-letter queue with the journal.
#[derive(Clone)]
pub struct Reconciler {
    /// Holds the queue.
    pub broker: Broker,
    /// Has the records.
    pub journal: Journal,
    /// The targets of callees.
    pub callee_registry: Reloadable<CalleeRegistry>,
    /// How long the journal keeps callbacks that have ended.
    pub retention: Duration,
    /// How long dead letters are kept.
    pub dead_letter_retention: Duration,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Reconciled {
    /// Stale copies, removed.
    stale: usize,
    /// Recorded in the journal as dead letters, and put back.
    recorded: usize,
    /// Put back.
    kept: usize,
    /// Past `dead_letters.retention` and unknown to the journal; removed.
    expired: usize,
    /// Of those that were put back: the journal cannot store their records.
    refused: usize,
}

impl Reconciled {
    /// All messages that were read.
    fn read(&self) -> usize {
        self.stale + self.recorded + self.kept + self.expired
    }

    fn log(&self) {
        let Self {
            stale,
            recorded,
            kept,
            expired,
            refused,
        } = self;
        tracing::info!(
            stale,
            recorded,
            kept,
            expired,
            refused,
            "dead letters reconciled"
        );
    }
}

/// What happens to a message of the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyDisposition {
    /// Removed: the callback is no longer a dead letter of this generation and hold.
    Stale,
    /// Put back.
    Keep,
    /// Recorded in the journal, and put back.
    Record,
    /// Removed, after a record in the audit log: it is too old.
    Expired,
}

/// How long after its acceptance a callback without any attempt has died at the latest, in ms: it may
/// be delayed by 7 days, and expire 7 days after its acceptance.
const LONGEST_LIFE: u64 = 14 * 24 * 60 * 60 * 1_000;

/// How old a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CopyAge {
    /// The journal would have deleted the callback by now.
    callback_expired: bool,
    /// The dead letter is past its retention. If the time of its death is unknown, it is taken for
    /// [`LONGEST_LIFE`] after its acceptance.
    letter_expired: bool,
}

/// Decides by the journal's state on a copy of this generation and hold.
fn decide(
    (generation, hold): (u32, u32),
    known: Option<&ControlState>,
    age: CopyAge,
) -> CopyDisposition {
    let Some(known) = known else {
        return match age {
            CopyAge {
                letter_expired: true,
                ..
            } => CopyDisposition::Expired,
            // It may be a copy of a callback that was replayed and delivered.
            CopyAge {
                callback_expired: true,
                ..
            } => CopyDisposition::Keep,
            CopyAge { .. } => CopyDisposition::Record,
        };
    };
    match generation.cmp(&known.generation) {
        Ordering::Less => return CopyDisposition::Stale,
        Ordering::Greater => return CopyDisposition::Record,
        // It was retried now after this copy was made: the copy of the newer hold counts.
        Ordering::Equal if hold < known.hold => return CopyDisposition::Stale,
        Ordering::Equal => {}
    }
    match known.status {
        CallbackStatus::Delivered | CallbackStatus::Cancelled => CopyDisposition::Stale,
        CallbackStatus::Dead | CallbackStatus::Expired if known.discarded => CopyDisposition::Stale,
        CallbackStatus::Dead | CallbackStatus::Expired => CopyDisposition::Keep,
        // Its end was not recorded, or the record is in transit to the journal.
        CallbackStatus::Queued
        | CallbackStatus::Delivering
        | CallbackStatus::Retrying
        | CallbackStatus::Unaccounted => CopyDisposition::Record,
    }
}

impl Reconciler {
    /// Reads every message that the queue holds at the call. Returns whether that was done: then the
    /// journal has a record of each dead letter that was there and can be read.
    pub async fn reconcile_all(&self, stop: &CancellationToken) -> bool {
        let Some(depth) = self.current_depth().await else {
            return false;
        };
        if depth == 0 {
            return true;
        }
        // More than there were: another process may put back some that it held at the call.
        let margin = 2 * usize::from(BATCH_SIZE);
        let result = self.reconcile(depth.saturating_add(margin), stop).await;
        result.log();
        let read_all = result.read() >= depth || self.current_depth().await == Some(0);
        read_all && result.refused == 0 && !stop.is_cancelled()
    }

    /// Reconciles until `stop`: on request, once requests pause, and in the background.
    pub(super) async fn run(self, requests: Arc<ReconcileRequests>, stop: CancellationToken) {
        let mut pass = Pass::new(now_ms());
        loop {
            let requested = timeout(STEP_INTERVAL, requests.notify.notified());
            let Some(requested) = stop.run_until_cancelled(requested).await else {
                return;
            };
            if requested.is_ok() {
                self.wait_for_quiet(&requests, &stop).await;
            }
            if stop.is_cancelled() {
                return;
            }
            if requests.whole.swap(false, Memory::Relaxed) {
                let depth = self.depth().await;
                let removals = self.removals().await.unwrap_or_default();
                pass.restart(now_ms(), &removals);
                self.reconcile(depth, &stop).await.log();
            } else if let Err(error) = self.step(&mut pass, now_ms(), &stop).await {
                tracing::debug!(%error, "dead letters are not reconciled now");
            }
        }
    }

    async fn wait_for_quiet(&self, requests: &ReconcileRequests, stop: &CancellationToken) {
        let latest = Instant::now() + MAX_DELAY;
        while Instant::now() < latest && !stop.is_cancelled() {
            let more = timeout(QUIET_PERIOD, requests.notify.notified());
            if !matches!(stop.run_until_cancelled(more).await, Some(Ok(()))) {
                return;
            }
        }
    }

    /// One step of a pass: begins one if it is worth it, and reads a bounded number of messages.
    async fn step(
        &self,
        pass: &mut Pass,
        now: u64,
        stop: &CancellationToken,
    ) -> Result<Reconciled, JournalError> {
        // Its owner extends it at each step, also while there is nothing to do: the others would
        // read the queue once more for what it has done.
        let until = now.saturating_add(contract::duration_ms(LEASE_DURATION));
        let owner = pass.owner;
        if !self.journal.take_lease(LEASE, owner, now, until).await? {
            pass.progress = PassProgress::default();
            return Ok(Reconciled::default());
        }
        if !pass.progress.in_progress() {
            let depth = self.depth().await;
            if depth == 0 {
                return Ok(Reconciled::default());
            }
            let removals = self.removals().await?;
            match pass_need(depth, pass.stale(&removals)) {
                PassNeed::Now => {}
                PassNeed::Daily if self.take_daily_pass(now).await? => {}
                PassNeed::None | PassNeed::Daily => return Ok(Reconciled::default()),
            }
            pass.restart(now, &removals);
            pass.progress.begin(depth);
        }
        let wanted = pass.progress.step();
        let result = self.reconcile(wanted, stop).await;
        // Fewer were read if the broker or the journal was away: the pass goes on later.
        let ended = result.read() < wanted && self.depth().await == 0;
        pass.progress.advance(result.read(), ended);
        result.log();
        Ok(result)
    }

    async fn take_daily_pass(&self, now: u64) -> Result<bool, JournalError> {
        let until = now.saturating_add(contract::duration_ms(DAILY));
        let nobody = Uuid::now_v7();
        self.journal
            .take_lease(DAILY_LEASE, nobody, now, until)
            .await
    }

    /// The newest replays and discards, by any process or by age.
    async fn removals(&self) -> Result<Vec<StoredAuditEntry>, JournalError> {
        let page = self.journal.audit_log(None, MAX_AUDITS).await?;
        let mut removals = page.entries;
        removals.retain(|stored| matches!(&*stored.entry.action, "replay" | "discard"));
        Ok(removals)
    }

    /// Reads at most `remaining` messages of the dead-letter queue.
    async fn reconcile(&self, mut remaining: usize, stop: &CancellationToken) -> Reconciled {
        let mut result = Reconciled::default();
        if remaining == 0 {
            return result;
        }
        let mut consumer = self.broker.consume(Queue::Dead, BATCH_SIZE);
        while remaining > 0 {
            let receiving = receive_batch(&mut consumer, remaining.min(BATCH_SIZE.into()));
            let Some(batch) = stop.run_until_cancelled(receiving).await else {
                break;
            };
            if batch.is_empty() {
                break;
            }
            remaining -= batch.len();
            let deadline = async {
                stop.cancelled().await;
                tokio::time::sleep(SETTLE_TIMEOUT).await;
            };
            let processed = tokio::select! {
                processed = self.process(batch, &mut result) => processed,
                () = deadline => break,
            };
            if let Err(error) = processed {
                tracing::warn!(%error, "reconciliation of dead letters ended early");
                break;
            }
        }
        consumer.cancel().await;
        consumer.close().await;
        result
    }

    /// The depth of the queue, measured again if possible.
    async fn depth(&self) -> usize {
        // Without a new value the broker is unavailable, and the last one is used.
        messages(self.measured_depth().await.last_known().unwrap_or(0))
    }

    /// The depth of the queue, measured now. `None`: it is unknown.
    async fn current_depth(&self) -> Option<usize> {
        self.measured_depth().await.current().map(messages)
    }

    async fn measured_depth(&self) -> Depth {
        let mut depths = self.broker.depths();
        depths.mark_unchanged();
        let _ = timeout(DEPTH_TIMEOUT, depths.changed()).await;
        depths.borrow().dead
    }

    /// Decides on each message, records what the journal lacks, then settles. After an error the
    /// messages stay unsettled, and are delivered again.
    async fn process(
        &self,
        batch: Vec<Received>,
        result: &mut Reconciled,
    ) -> Result<(), JournalError> {
        let dead_letters: Vec<_> = batch.into_iter().map(DeadLetter::decode).collect();
        let readable = dead_letters
            .iter()
            .filter_map(|letter| letter.message.as_ref());
        let ids: Vec<Uuid> = readable.map(|message| message.request_id).collect();
        let known = self.journal.control_states(&ids).await?;
        let now = now_ms();
        let mut records = Vec::new();
        let mut decided = Vec::new();
        let (mut stale, mut kept, mut expired) = (0, 0, 0);
        for dead_letter in dead_letters {
            let disposition = self.disposition(&dead_letter, &known, now);
            let reason = match disposition {
                CopyDisposition::Stale | CopyDisposition::Expired => reason::UNKNOWN,
                CopyDisposition::Keep | CopyDisposition::Record => {
                    self.reason(&dead_letter, disposition).await?
                }
            };
            match disposition {
                CopyDisposition::Stale => stale += 1,
                CopyDisposition::Keep => kept += 1,
                CopyDisposition::Expired => expired += 1,
                CopyDisposition::Record => {
                    records.extend(dead_letter.record(&self.callee_registry.get(), reason, now));
                }
            }
            decided.push((dead_letter, disposition, reason));
        }
        match self.journal.record(&records).await {
            Ok(()) => result.recorded += records.len(),
            // The messages stay in the queue for the next run.
            Err(JournalError::Refused(error)) => {
                tracing::error!(error, "dead letters cannot be recorded");
                kept += records.len();
                result.refused += records.len();
            }
            Err(
                error @ (JournalError::Unavailable(_)
                | JournalError::TooSlow(_)
                | JournalError::Incompatible(_)),
            ) => {
                return Err(error);
            }
        }
        // Last before the settlement: after an error the messages are read again, and an entry that
        // was written would count them twice. Writing records twice changes nothing.
        if expired > 0 {
            let entry = journal::retention_discards(expired, now);
            let operation = journal::retention_operation(now);
            self.journal.append_audit_part(&entry, &operation).await?;
        }
        let settling = decided
            .into_iter()
            .map(|(dead_letter, disposition, reason)| dead_letter.settle(disposition, reason));
        join_all(settling).await;
        result.stale += stale;
        result.kept += kept;
        result.expired += expired;
        Ok(())
    }

    fn disposition(
        &self,
        dead_letter: &DeadLetter,
        known: &HashMap<Uuid, ControlState>,
        now: u64,
    ) -> CopyDisposition {
        let Some(message) = &dead_letter.message else {
            return CopyDisposition::Keep;
        };
        let older =
            |than: Duration, since: u64| Duration::from_millis(now.saturating_sub(since)) >= than;
        let died_at = dead_letter.died_at();
        let died_at = died_at.unwrap_or(message.accepted_at.saturating_add(LONGEST_LIFE));
        let age = CopyAge {
            callback_expired: older(self.retention, message.accepted_at),
            letter_expired: older(self.dead_letter_retention, died_at),
        };
        let known = known.get(&message.request_id);
        decide((message.generation, message.hold), known, age)
    }

    /// Why the callback was dead-lettered: from the message, or else from the journal.
    async fn reason(
        &self,
        dead_letter: &DeadLetter,
        disposition: CopyDisposition,
    ) -> Result<&'static str, JournalError> {
        let name = dead_letter.received.reason.as_deref();
        let in_message = name.and_then(reason::parse).map(DeadLetterReason::as_str);
        let (None, CopyDisposition::Keep, Some(message)) =
            (in_message, disposition, &dead_letter.message)
        else {
            return Ok(in_message.unwrap_or(reason::UNKNOWN));
        };
        let found = self.journal.find(message.request_id).await?;
        let in_journal = found.and_then(|callback| match callback.status {
            CallbackStatus::Expired => Some(DeadLetterReason::Expired),
            CallbackStatus::Queued
            | CallbackStatus::Delivering
            | CallbackStatus::Retrying
            | CallbackStatus::Delivered
            | CallbackStatus::Dead
            | CallbackStatus::Cancelled
            | CallbackStatus::Unaccounted => callback.reason.as_deref().and_then(reason::parse),
        });
        Ok(in_journal.map_or(reason::UNKNOWN, DeadLetterReason::as_str))
    }
}

fn messages(depth: u32) -> usize {
    usize::try_from(depth).unwrap_or(usize::MAX)
}

/// A pass through the queue, and what begins the next.
struct Pass {
    /// The name of this process for its lease.
    owner: Uuid,
    progress: PassProgress,
    /// When the last pass began, Unix ms.
    last: u64,
    /// The audit entries known then, with their counts: an entry may grow.
    known: HashMap<AuditKey, u64>,
}

/// The time and the actor of an audit entry.
type AuditKey = (u64, String);

impl Pass {
    /// At the start of a process, the copies of the last day may be stale.
    fn new(now: u64) -> Self {
        Self {
            owner: Uuid::now_v7(),
            progress: PassProgress::default(),
            last: now.saturating_sub(contract::duration_ms(DAILY)),
            known: HashMap::new(),
        }
    }

    /// How many copies became stale since the last pass began: an upper bound.
    fn stale(&self, removals: &[StoredAuditEntry]) -> u64 {
        let since = removals
            .iter()
            .filter(|stored| stored.updated_at >= self.last);
        let added = since.map(|stored| {
            let known = self.known.get(&Self::key(stored)).copied();
            stored.entry.count.saturating_sub(known.unwrap_or(0))
        });
        added.sum()
    }

    /// Nothing is left of this pass; what was removed so far need not begin another.
    fn restart(&mut self, now: u64, removals: &[StoredAuditEntry]) {
        self.progress = PassProgress::default();
        self.last = now;
        let counts = removals.iter();
        self.known = counts
            .map(|stored| (Self::key(stored), stored.entry.count))
            .collect();
    }

    fn key(stored: &StoredAuditEntry) -> AuditKey {
        (stored.entry.occurred_at, stored.entry.actor.clone())
    }
}

/// Receives at most `max` messages; none if none arrives in time.
async fn receive_batch(consumer: &mut Consumer, max: usize) -> Vec<Received> {
    let mut batch = Vec::new();
    let mut wait = RECEIVE_TIMEOUT;
    while batch.len() < max
        && let Ok(received) = timeout(wait, consumer.next()).await
    {
        batch.push(received);
        wait = BATCH_WINDOW;
    }
    batch
}

/// A message of the dead-letter queue.
struct DeadLetter {
    received: Received,
    /// `None`: this version cannot decode it.
    message: Option<Message>,
}

impl DeadLetter {
    fn decode(received: Received) -> Self {
        let message = Message::decode(&received.body).ok();
        Self { received, message }
    }

    /// When its last attempt ended, Unix ms; `None`: it was never attempted.
    fn died_at(&self) -> Option<u64> {
        let last = self.message.as_ref()?.history.last()?;
        Some(last.started_at.saturating_add(last.duration_ms))
    }

    /// The record of the dead letter, with its body. If the time of its death is unknown, its
    /// retention begins now.
    fn record(&self, registry: &CalleeRegistry, reason: &str, now: u64) -> Option<Record> {
        let message = self.message.as_ref()?;
        let state = match reason::parse(reason) {
            Some(DeadLetterReason::Expired) => RecordedState::Expired,
            Some(_) | None => RecordedState::Dead {
                reason: reason.to_owned(),
            },
        };
        Some(Record {
            origin: dispatcher::origin_of(message, target(message, registry)),
            generation: message.generation,
            attempt: message.attempt,
            at: self.died_at().unwrap_or(now),
            state,
            attempted: None,
            hold: message.hold,
            message: Some(self.received.body.clone()),
        })
    }

    async fn settle(self, disposition: CopyDisposition, reason: &'static str) {
        let settlement = match disposition {
            CopyDisposition::Stale | CopyDisposition::Expired => Settlement::Complete,
            CopyDisposition::Keep | CopyDisposition::Record => Settlement::DeadLetter {
                reason,
                message: match &self.message {
                    Some(message) => dispatcher::to_broker_message(message),
                    None => BrokerMessage {
                        id: String::new(),
                        kind: "unreadable",
                        headers: Vec::new(),
                        body: self.received.body.clone(),
                    },
                },
            },
        };
        if let Err(error) = self.received.settle(settlement).await {
            tracing::debug!(%error, "dead letter not settled; it will be redelivered");
        }
    }
}

/// Scheme, host and port of the callback's target; empty if unknown.
fn target(message: &Message, registry: &CalleeRegistry) -> String {
    let target = match (&message.callback_url, &message.callee_no) {
        (Some(url), _) => TargetUrl::parse(url).ok().map(|url| url.target()),
        (None, Some(no)) => {
            let callee = registry.find(no);
            let url = callee.and_then(|callee| callee.url.as_ref());
            url.map(TargetUrl::target)
        }
        (None, None) => None,
    };
    target.map(|target| target.to_string()).unwrap_or_default()
}
