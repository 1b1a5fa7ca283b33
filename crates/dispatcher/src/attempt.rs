//! How is one attempt made?
//!
//! The main path of the door out: decode -> early end? -> call -> decide -> record -> settle ->
//! reply.

use crate::call::Calls;
use crate::fates::Fates;
use crate::follow_up::{self, Attempted};
use crate::keep::keep;
use crate::tell::tell;
use crate::{early, record};
use boot::Metrics;
use broker::{Broker, Lane, Received, Settlement};
use contract::{Message, Reply, ReplyCode};
use delivery::{Circumstances, Schedule, Verdict, decide};
use journal::{Record, Recorder};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What every attempt works with.
pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) calls: Calls,
    pub(crate) schedule: Schedule,
    pub(crate) metrics: Arc<Metrics>,
    /// With a journal: what was decided elsewhere.
    pub(crate) fates: Option<Fates>,
    /// With a journal: where records go.
    pub(crate) recorder: Option<Recorder>,
}

/// What becomes of a message.
pub(crate) struct Ending {
    /// What is written down of it.
    pub(crate) record: Option<Record>,
    pub(crate) settlement: Settlement,
    /// What a caller hears who waits for the first attempt. `None`: there was none yet.
    pub(crate) code: Option<ReplyCode>,
}

/// Makes one attempt at a received callback.
pub(crate) async fn attempt(received: Received, lane: Lane, bench: &Bench) {
    count_again(&received, lane, bench);
    let message = match decode(&received, lane, bench) {
        Ok(message) => message,
        Err(poison) => {
            settle(received, poison).await;
            return;
        }
    };
    let target = bench.calls.target_name(&message);
    let ending = match early::ending(&message, &received.body, &target, lane, bench).await {
        Some(unattempted) => unattempted,
        None => {
            let attempted = call(&message, bench).await;
            let verdict = decide(&attempted.outcome, &circumstances(&message, bench));
            tell(&message, &target, &attempted, &verdict, lane, bench);
            ending(&message, target, &attempted, verdict)
        }
    };
    write_down(ending.record, bench).await;
    if settle(received, ending.settlement).await {
        reply(&message, ending.code, bench);
    }
}

fn count_again(received: &Received, lane: Lane, bench: &Bench) {
    if received.redelivered {
        bench.metrics.redelivered(lane.as_str());
    }
}

/// Reads the message; unreadable bytes are set aside.
pub(crate) fn decode(
    received: &Received,
    lane: Lane,
    bench: &Bench,
) -> Result<Message, Settlement> {
    Message::decode(&received.body).map_err(|error| {
        tracing::error!(lane = lane.as_str(), %error, "a message is unreadable; set aside");
        bench.metrics.poison();
        Settlement::Poison {
            reason: error.to_string(),
        }
    })
}

async fn call(message: &Message, bench: &Bench) -> Attempted {
    let (started_at, begun) = (unix_ms(SystemTime::now()), Instant::now());
    let outcome = bench.calls.call(message).await;
    Attempted {
        outcome,
        started_at,
        duration: begun.elapsed(),
    }
}

pub(crate) fn expires_at_ms(message: &Message) -> Option<u64> {
    let seconds = message.options.expire_seconds?;
    Some(
        message
            .accepted_at
            .saturating_add(u64::from(seconds) * 1_000),
    )
}

fn circumstances<'a>(message: &Message, bench: &'a Bench) -> Circumstances<'a> {
    Circumstances {
        attempt: message.attempt,
        schedule: &bench.schedule,
        max_attempts: message.options.max_attempts,
        expires_at_ms: expires_at_ms(message),
        now_ms: unix_ms(SystemTime::now()),
        chance: fastrand::f64(),
        parked: message.parked,
    }
}

fn ending(message: &Message, target: String, attempted: &Attempted, verdict: Verdict) -> Ending {
    let settlement = follow_up::settlement(message, attempted, verdict);
    // Drawn anew for each delivery, so that a redelivery does not hide this attempt.
    let run = fastrand::u64(..);
    let record = record::attempted(message, target, attempted, verdict, &settlement, run);
    Ending {
        record: Some(record),
        settlement,
        code: match verdict {
            Verdict::Delivered => Some(ReplyCode::Delivered),
            Verdict::Retry { .. } => Some(ReplyCode::Retrying),
            Verdict::Dead(_) => Some(ReplyCode::GivenUp),
            Verdict::Park { .. } => None,
        },
    }
}

/// Before the settlement, so that what is settled is known.
pub(crate) async fn write_down(record: Option<Record>, bench: &Bench) {
    if let (Some(record), Some(recorder)) = (record, &bench.recorder) {
        keep(recorder, record).await;
    }
}

/// Settles; what cannot be settled is delivered again, with the same `webhook-id`.
pub(crate) async fn settle(received: Received, settlement: Settlement) -> bool {
    let settled = received.settle(settlement).await;
    if let Err(error) = &settled {
        tracing::warn!(%error, "a message could not be settled");
    }
    settled.is_ok()
}

/// Tells whoever waits for the first attempt. A courtesy: it may be lost.
fn reply(message: &Message, code: Option<ReplyCode>, bench: &Bench) {
    let first = message.attempt == 1 && message.generation == 0;
    if let (true, Some(address), Some(code)) = (first, &message.reply_to, code) {
        let request_id = message.request_id;
        let reply = Reply { request_id, code }.encode();
        bench.broker.reply(address.clone(), reply.into());
    }
}

pub(crate) fn unix_ms(time: SystemTime) -> u64 {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
