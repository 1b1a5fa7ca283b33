//! Reconciles the dead-letter queue with the journal: removes stale copies, and records dead letters
//! that the journal does not know.
//!
//! `docs/decisions/0008-*.md` says why this is needed. A run reads at most as many messages as the
//! queue holds at its start, because it puts messages back at the end of the queue.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerMessage, Consumer, Queue, Received, Settlement};
use contract::{CallbackStatus, Message};
use delivery::{CalleeRegistry, DeadLetterReason, TargetUrl};
use futures_util::future::join_all;
use journal::{ControlState, Journal, JournalError, Record, RecordedState};
use runtime::Reloadable;
use runtime::clock::now_ms;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::reason;

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

/// Reconciles the dead-letter queue with the journal.
#[derive(Clone)]
pub(super) struct Reconciler {
    pub(super) broker: Broker,
    pub(super) journal: Journal,
    pub(super) callee_registry: Reloadable<CalleeRegistry>,
    /// How long the journal keeps callbacks that have ended.
    pub(super) retention: Duration,
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
}

/// What happens to a message of the dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyDisposition {
    /// Removed: the callback is no longer a dead letter of this generation.
    Stale,
    /// Put back.
    Keep,
    /// Recorded in the journal, and put back.
    Record,
}

/// Decides by the journal's state. `expired`: the journal would have deleted the callback by now.
fn decide(generation: u32, known: Option<&ControlState>, expired: bool) -> CopyDisposition {
    let Some(known) = known else {
        return match expired {
            true => CopyDisposition::Keep,
            false => CopyDisposition::Record,
        };
    };
    match generation.cmp(&known.generation) {
        Ordering::Less => return CopyDisposition::Stale,
        Ordering::Greater => return CopyDisposition::Record,
        Ordering::Equal => {}
    }
    match known.status {
        CallbackStatus::Delivered | CallbackStatus::Cancelled => CopyDisposition::Stale,
        CallbackStatus::Dead | CallbackStatus::Expired if known.discarded => CopyDisposition::Stale,
        CallbackStatus::Dead | CallbackStatus::Expired => CopyDisposition::Keep,
        // Its end was not recorded, or the record is in transit to the journal.
        CallbackStatus::Queued | CallbackStatus::Delivering | CallbackStatus::Retrying => {
            CopyDisposition::Record
        }
    }
}

impl Reconciler {
    /// Reconciles on request, once requests pause, until `stop`.
    pub(super) async fn run(self, requested: Arc<Notify>, stop: CancellationToken) {
        while stop
            .run_until_cancelled(requested.notified())
            .await
            .is_some()
        {
            let latest = Instant::now() + MAX_DELAY;
            while Instant::now() < latest && !stop.is_cancelled() {
                let more = stop.run_until_cancelled(timeout(QUIET_PERIOD, requested.notified()));
                if !matches!(more.await, Some(Ok(()))) {
                    break;
                }
            }
            if stop.is_cancelled() {
                return;
            }
            let Reconciled {
                stale,
                recorded,
                kept,
            } = self.reconcile(&stop).await;
            tracing::info!(stale, recorded, kept, "dead letters reconciled");
        }
    }

    /// Reads the dead-letter queue once.
    async fn reconcile(&self, stop: &CancellationToken) -> Reconciled {
        let mut result = Reconciled::default();
        let mut remaining = self.depth().await;
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
        let mut depths = self.broker.depths();
        depths.mark_unchanged();
        // Without a new value the broker is unavailable, and the last one is used.
        let _ = timeout(DEPTH_TIMEOUT, depths.changed()).await;
        let dead = depths.borrow().dead;
        usize::try_from(dead).unwrap_or(usize::MAX)
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
        for dead_letter in dead_letters {
            let disposition = self.disposition(&dead_letter, &known, now);
            let reason = match disposition {
                CopyDisposition::Stale => reason::UNKNOWN,
                CopyDisposition::Keep | CopyDisposition::Record => {
                    self.reason(&dead_letter, disposition).await?
                }
            };
            match disposition {
                CopyDisposition::Stale => result.stale += 1,
                CopyDisposition::Keep => result.kept += 1,
                CopyDisposition::Record => {
                    records.extend(dead_letter.record(&self.callee_registry.get(), reason));
                }
            }
            decided.push((dead_letter, disposition, reason));
        }
        match self.journal.record(&records).await {
            Ok(()) => result.recorded += records.len(),
            // The messages stay in the queue for the next run.
            Err(JournalError::Refused(error)) => {
                tracing::error!(error, "dead letters cannot be recorded");
            }
            Err(error @ (JournalError::Unavailable(_) | JournalError::Incompatible(_))) => {
                return Err(error);
            }
        }
        let settling = decided
            .into_iter()
            .map(|(dead_letter, disposition, reason)| dead_letter.settle(disposition, reason));
        join_all(settling).await;
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
        let age = Duration::from_millis(now.saturating_sub(message.accepted_at));
        let known = known.get(&message.request_id);
        decide(message.generation, known, age >= self.retention)
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
            | CallbackStatus::Cancelled => callback.reason.as_deref().and_then(reason::parse),
        });
        Ok(in_journal.map_or(reason::UNKNOWN, DeadLetterReason::as_str))
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

    /// The record of the dead letter, with its body.
    fn record(&self, registry: &CalleeRegistry, reason: &str) -> Option<Record> {
        let message = self.message.as_ref()?;
        let ended_at = message
            .history
            .last()
            .map(|attempt| attempt.started_at.saturating_add(attempt.duration_ms));
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
            at: ended_at.unwrap_or(message.accepted_at),
            state,
            attempted: None,
            dead_letter: Some(self.received.body.clone()),
        })
    }

    async fn settle(self, disposition: CopyDisposition, reason: &'static str) {
        let settlement = match disposition {
            CopyDisposition::Stale => Settlement::Complete,
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
