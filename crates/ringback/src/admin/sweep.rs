//! Which dead letters in the queue are stale, and which does the journal not know?
//!
//! `docs/decisions/0008-*.md` tells why there is a sweep. It reads the lane once through and never
//! further than the depth seen at the beginning: what it puts back goes to the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use boot::Live;
use broker::{Broker, Consumer, Lane, Received, Settlement};
use contract::{Message, masked_url};
use delivery::{Parties, Reason, TargetUrl};
use futures_util::future::join_all;
use journal::{Fate, Journal, JournalError, Origin, Record, State, Status};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::moment;

/// How many messages are in hand at a time.
const BATCH: u16 = 64;
/// A lane that gives nothing for so long is at its end, or cannot be read now.
const NOTHING_COMES: Duration = Duration::from_secs(5);
/// What comes within this time after the last message joins its batch.
const TOGETHER: Duration = Duration::from_millis(50);
/// How long a stop waits for the messages in hand.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);
/// How long a new look at the depth may take.
const DEPTH_WITHIN: Duration = Duration::from_secs(3);
/// A sweep begins when nobody has rung for so long.
const QUIET: Duration = Duration::from_secs(5);
/// Or so long after the first ring.
const AT_LATEST: Duration = Duration::from_secs(300);
/// The reason of a dead letter of which nobody has written down why.
const UNKNOWN: &str = "unknown";

/// What a sweep works with.
#[derive(Clone)]
pub(super) struct Broom {
    pub(super) broker: Broker,
    pub(super) journal: Journal,
    pub(super) parties: Live<Parties>,
    /// How long the journal keeps what has ended.
    pub(super) retention: Duration,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Swept {
    /// Stale copies, gone now.
    pub(super) stale: usize,
    /// Recorded in the journal as dead, and put back.
    pub(super) recorded: usize,
    /// Put back.
    pub(super) kept: usize,
}

/// What becomes of a copy in the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// It is not the truth any more.
    Stale,
    /// It is where it belongs.
    Keep,
    /// The journal must hear of it.
    Record,
}

/// The journal is asked what it knows; `old`: it would have forgotten the callback by now.
fn decide(generation: u32, fate: Option<&Fate>, old: bool) -> Decision {
    let Some(fate) = fate else {
        return if old {
            Decision::Keep
        } else {
            Decision::Record
        };
    };
    if generation != fate.generation {
        let stale = generation < fate.generation;
        return if stale {
            Decision::Stale
        } else {
            Decision::Record
        };
    }
    match fate.status {
        Status::Delivered | Status::Cancelled => Decision::Stale,
        Status::Dead | Status::Expired if fate.discarded => Decision::Stale,
        Status::Dead | Status::Expired => Decision::Keep,
        // Its end was not recorded, or is on its way to the journal.
        Status::Queued | Status::Delivering | Status::Retrying => Decision::Record,
    }
}

impl Broom {
    /// Sweeps, until `stop`, when the bell has been rung and it is quiet again.
    pub(super) async fn run(self, bell: Arc<Notify>, stop: CancellationToken) {
        while stop.run_until_cancelled(bell.notified()).await.is_some() {
            let latest = Instant::now() + AT_LATEST;
            while Instant::now() < latest && !stop.is_cancelled() {
                let more = stop.run_until_cancelled(timeout(QUIET, bell.notified()));
                if !matches!(more.await, Some(Ok(()))) {
                    break;
                }
            }
            if stop.is_cancelled() {
                return;
            }
            let swept = self.sweep(&stop).await;
            let Swept {
                stale,
                recorded,
                kept,
            } = swept;
            tracing::info!(stale, recorded, kept, "dead letters swept");
        }
    }

    /// Reads the dead letters once through.
    pub(super) async fn sweep(&self, stop: &CancellationToken) -> Swept {
        let mut swept = Swept::default();
        let mut left = self.depth().await;
        if left == 0 {
            return swept;
        }
        let mut consumer = self.broker.consume(Lane::Dead, BATCH);
        while left > 0 {
            let gathering = gather(&mut consumer, left.min(BATCH.into()));
            let Some(batch) = stop.run_until_cancelled(gathering).await else {
                break;
            };
            if batch.is_empty() {
                break;
            }
            left -= batch.len();
            let over = async {
                stop.cancelled().await;
                tokio::time::sleep(SETTLE_WITHIN).await;
            };
            let done = tokio::select! {
                done = self.deal_with(batch, &mut swept) => done,
                () = over => break,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "the sweep of the dead letters ends early");
                break;
            }
        }
        consumer.cancel().await;
        consumer.close().await;
        swept
    }

    /// How many messages lie there, as seen anew.
    async fn depth(&self) -> usize {
        let mut depths = self.broker.depths();
        depths.mark_unchanged();
        // No new look: the broker is away, and the last one is as good as any.
        let _ = timeout(DEPTH_WITHIN, depths.changed()).await;
        let dead = depths.borrow().dead;
        usize::try_from(dead).unwrap_or(usize::MAX)
    }

    /// Asks about a batch, records what must be, then settles. An error leaves the messages as they
    /// are: unsettled.
    async fn deal_with(&self, batch: Vec<Received>, swept: &mut Swept) -> Result<(), JournalError> {
        let letters: Vec<_> = batch.into_iter().map(Letter::read).collect();
        let readable = letters.iter().filter_map(|it| it.message.as_ref());
        let ids: Vec<Uuid> = readable.map(|message| message.request_id).collect();
        let fates = self.journal.fates(&ids).await?;
        let now = moment::now();
        let mut records = Vec::new();
        let mut settling = Vec::new();
        for letter in letters {
            let decision = self.decision(&letter, &fates, now);
            let reason = match decision {
                Decision::Stale => UNKNOWN,
                Decision::Keep | Decision::Record => self.reason(&letter, decision).await?,
            };
            match decision {
                Decision::Stale => swept.stale += 1,
                Decision::Keep => swept.kept += 1,
                Decision::Record => records.extend(letter.record(&self.parties.get(), reason)),
            }
            settling.push((letter, decision, reason));
        }
        match self.journal.record(&records).await {
            Ok(()) => swept.recorded += records.len(),
            // They stay in the queue, to be found by the next sweep.
            Err(JournalError::Refused(error)) => {
                tracing::error!(error, "dead letters cannot be recorded");
            }
            Err(error) => return Err(error),
        }
        let settling = settling
            .into_iter()
            .map(|(letter, decision, reason)| letter.settle(decision, reason));
        join_all(settling).await;
        Ok(())
    }

    fn decision(&self, letter: &Letter, fates: &HashMap<Uuid, Fate>, now: u64) -> Decision {
        let Some(message) = &letter.message else {
            return Decision::Keep;
        };
        let age = Duration::from_millis(now.saturating_sub(message.accepted_at));
        let fate = fates.get(&message.request_id);
        decide(message.generation, fate, age >= self.retention)
    }

    /// Why it was given up: as the queue says, or else the journal.
    async fn reason(
        &self,
        letter: &Letter,
        decision: Decision,
    ) -> Result<&'static str, JournalError> {
        let told = letter.received.reason.as_deref().and_then(known);
        let (None, Decision::Keep, Some(message)) = (told, decision, &letter.message) else {
            return Ok(told.unwrap_or(UNKNOWN));
        };
        let found = self.journal.find(message.request_id).await?;
        Ok(found.map_or(UNKNOWN, |callback| match callback.status {
            Status::Expired => Reason::Expired.as_str(),
            _ => callback
                .reason
                .as_deref()
                .and_then(known)
                .unwrap_or(UNKNOWN),
        }))
    }
}

/// At most so many messages; none when none came in time.
async fn gather(consumer: &mut Consumer, most: usize) -> Vec<Received> {
    let mut batch = Vec::new();
    let mut patience = NOTHING_COMES;
    while batch.len() < most
        && let Ok(received) = timeout(patience, consumer.next()).await
    {
        batch.push(received);
        patience = TOGETHER;
    }
    batch
}

/// The word of a reason that may stand on a dead letter.
fn known(word: &str) -> Option<&'static str> {
    let reasons = [
        Reason::Exhausted,
        Reason::Rejected,
        Reason::Redirected,
        Reason::AddressRefused,
        Reason::Expired,
        Reason::DeliveryLimit,
    ];
    let mut words = reasons.into_iter().map(Reason::as_str);
    words.find(|it| *it == word)
}

/// A message out of the dead letters.
struct Letter {
    received: Received,
    /// None: not readable by this version.
    message: Option<Message>,
}

impl Letter {
    fn read(received: Received) -> Self {
        let message = Message::decode(&received.body).ok();
        Self { received, message }
    }

    /// What the journal must hear: that it is dead, and its body.
    fn record(&self, parties: &Parties, reason: &str) -> Option<Record> {
        let message = self.message.as_ref()?;
        let ended_at = message
            .history
            .last()
            .map(|it| it.started_at.saturating_add(it.duration_ms));
        let state = match reason == Reason::Expired.as_str() {
            true => State::Expired,
            false => State::Dead {
                reason: reason.to_owned(),
            },
        };
        Some(Record {
            origin: origin(message, parties),
            generation: message.generation,
            attempt: message.attempt,
            at: ended_at.unwrap_or(message.accepted_at),
            state,
            attempted: None,
            dead_letter: Some(self.received.body.clone()),
        })
    }

    async fn settle(self, decision: Decision, reason: &'static str) {
        let body = self.received.body.clone();
        let settlement = match (decision, &self.message) {
            (Decision::Stale, _) => Settlement::Done,
            (_, Some(message)) => Settlement::Dead {
                reason,
                message: dispatcher::same_again(message, body),
            },
            (_, None) => Settlement::Dead {
                reason,
                message: broker::Message {
                    id: String::new(),
                    kind: "unreadable",
                    headers: Vec::new(),
                    body,
                },
            },
        };
        if let Err(error) = self.received.settle(settlement).await {
            tracing::debug!(%error, "a dead letter returns by itself");
        }
    }
}

/// What is known of the callback from its message.
fn origin(message: &Message, parties: &Parties) -> Origin {
    let target = match (&message.callback_url, &message.callee_no) {
        (Some(url), _) => TargetUrl::parse(url).ok().map(|url| url.target()),
        (None, Some(no)) => {
            let party = parties.find(no);
            party.and_then(|it| it.url.as_ref()).map(TargetUrl::target)
        }
        (None, None) => None,
    };
    Origin {
        request_id: message.request_id,
        app_id: message.app_id.clone(),
        caller_no: message.caller_no.clone(),
        callee_no: message.callee_no.clone(),
        message_type: message.message_type.clone(),
        callback_url: message.callback_url.as_deref().map(masked_url),
        target: target.map(|it| it.to_string()).unwrap_or_default(),
        accepted_at: message.accepted_at,
    }
}

#[cfg(test)]
mod tests;
