//! How is one attempt made?
//!
//! The main path of the door out: decode -> early end? -> its turn -> call -> decide -> record ->
//! settle -> reply.

use crate::call::Calls;
use crate::enter::{Turn, enter, parked};
use crate::fates::Fates;
use crate::follow_up::{self, Attempted};
use crate::gates::{Gates, Held};
use crate::keep::keep;
use crate::plan::{Plan, Plans};
use crate::slots::Slot;
use crate::tell::tell;
use crate::{early, record};
use boot::Metrics;
use broker::{Broker, Lane, Received, Settlement};
use contract::{Message, Reply, ReplyCode};
use delivery::limits::Ended;
use delivery::{Circumstances, Verdict, decide};
use journal::{Record, Recorder};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// What every attempt works with.
pub(crate) struct Bench {
    pub(crate) broker: Broker,
    pub(crate) plans: Plans,
    pub(crate) gates: Arc<Gates>,
    pub(crate) calls: Calls,
    pub(crate) metrics: Arc<Metrics>,
    /// With a journal: what was decided elsewhere.
    pub(crate) fates: Option<Fates>,
    /// With a journal: where records go.
    pub(crate) recorder: Option<Recorder>,
    /// Cancelled when the stop begins: what waits for its turn goes back to its queue.
    pub(crate) stop: CancellationToken,
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
///
/// Thousands of these wait for a target at a time, so what comes before and after the call is boxed:
/// its room is taken when it is its turn, and given back.
pub(crate) async fn attempt(received: Received, mut slot: Slot, bench: &Bench) {
    let lane = slot.lane();
    count_again(&received, lane, bench);
    let message = match decode(&received, lane, bench) {
        Ok(message) => message,
        Err(poison) => {
            Box::pin(settle(received, poison)).await;
            return;
        }
    };
    let plan = bench.plans.plan(&message);
    let ending = match early::ending(&message, &received.body, &plan.target, lane, bench).await {
        Some(unattempted) => unattempted,
        None => match enter(&plan, &mut slot, bench).await {
            Turn::Go(pass) => {
                let attempted = call(&message, &plan, bench).await;
                leave(pass, &attempted);
                let pauses = bench.gates.pauses();
                pauses.ended(plan.key.as_ref(), &attempted.outcome);
                let verdict = judge(&message, &plan, &attempted);
                tell(&message, &plan, &attempted, &verdict, lane, bench);
                ending(&message, plan.target, &attempted, verdict)
            }
            Turn::Park { why, until } => parked(&message, plan.target, why, until, bench),
            Turn::Stop => return, // Unsettled, as it came: somebody else gets it.
        },
    };
    // Others may call while this is written down; the consumer's window bounds how many.
    slot.give_back();
    Box::pin(conclude(received, &message, ending, bench)).await;
}

async fn conclude(received: Received, message: &Message, ending: Ending, bench: &Bench) {
    write_down(ending.record, bench).await;
    if settle(received, ending.settlement).await {
        reply(message, ending.code, bench);
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

async fn call(message: &Message, plan: &Plan, bench: &Bench) -> Attempted {
    let (started_at, begun) = (unix_ms(SystemTime::now()), Instant::now());
    let outcome = bench.calls.call(message, plan).await;
    Attempted {
        outcome,
        started_at,
        duration: begun.elapsed(),
    }
}

/// The target is free for the next one; what this call says of it is remembered.
fn leave(pass: Option<Held>, attempted: &Attempted) {
    if let Some(pass) = pass {
        pass.leave(&Ended::of(&attempted.outcome, attempted.duration));
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

/// By the callee's own rules where it has some.
fn judge(message: &Message, plan: &Plan, attempted: &Attempted) -> Verdict {
    let (outcome, circumstances) = (&attempted.outcome, circumstances(message, plan));
    match &plan.manner {
        Some(manner) => manner.retrying.decide(outcome, &circumstances),
        None => decide(outcome, &circumstances),
    }
}

fn circumstances<'a>(message: &Message, plan: &'a Plan) -> Circumstances<'a> {
    Circumstances {
        attempt: message.attempt,
        schedule: &plan.schedule,
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
