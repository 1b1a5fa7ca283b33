//! The main path of the dispatcher: from a received message to its settlement.
//!
//! - `decode.rs`: decodes the message, or the probe that is in its place
//! - `precheck.rs`: not due, cancelled, superseded by a replay or a retry, expired
//! - `acquire.rs`: a permit of the target and a slot, or a deferral
//! - `call.rs`: the call
//! - `decision.rs`: what must happen next
//! - `settlement.rs`: settlements and follow-up messages, for the broker
//! - `record.rs`: records, for the journal
//! - `panicked.rs`: a panic, which defers the message
//! - `spans.rs`: the trace
//! - `telemetry.rs`: the log event, the metrics, and what operators who watch see

mod acquire;
mod call;
mod decision;
pub(crate) mod decode;
mod panicked;
mod precheck;
pub(crate) mod record;
pub(crate) mod settlement;
#[cfg(test)]
mod settlement_model_tests;
pub(crate) mod spans;
mod telemetry;

use crate::concurrency::{InFlight, slots_of};
use crate::context::{AttemptContext, AttemptResult};
use crate::held::HeldGuard;
use crate::queue::{WorkQueue, broker_queue, queue_label};
use acquire::{Admission, acquire_permit, defer, release_permit};
use broker::{Received, Settlement};
use call::{CompletedAttempt, call};
use contract::{Message, ReplyCode};
use decision::decide_next;
use decode::{NotACallback, decode};
use delivery::Verdict;
use failpoints::crash_point;
use panicked::catch_panic;
use precheck::{check_before_attempt, due_for};
use record::{record_before_settle, with_message};
use runtime::clock::now_ms;
use settlement::{answer_probe, send_reply, settle, settlement_for};
use spans::AttemptTrace;
use std::pin::pin;
use std::time::Instant;
use telemetry::{count_attempt, describe, log_attempt};
use tokio_util::sync::CancellationToken;

/// Processes a received callback: normally makes one attempt. After `halt` none is begun.
///
/// Thousands of these wait for a target at a time. What follows the call is boxed, so that it takes
/// memory only during its step.
pub(crate) async fn process_message(
    received: Received,
    queue: WorkQueue,
    context: &AttemptContext,
    halt: &CancellationToken,
) {
    if received.redelivered {
        context.metrics.redelivered(queue);
    }
    let message = match decode(&received.body, broker_queue(queue), &context.metrics) {
        Ok(message) => message,
        Err(NotACallback::Probe(probe)) => {
            answer_probe(&probe, &context.broker);
            Box::pin(settle(received, Settlement::Complete)).await;
            return;
        }
        Err(NotACallback::Unusable(settlement)) => {
            Box::pin(settle(received, settlement)).await;
            return;
        }
    };
    crash_point!("dispatcher.received");
    let trace = AttemptTrace::of(&message, received.redelivered, context.tracer());
    context.metrics.received(queue, due_for(&message, now_ms()));
    let held = context.held.begin(&message, queue_label(queue));
    let attempted = attempt(&message, &trace, queue, &held, context, halt);
    let attempted = catch_panic(pin!(attempted)).await;
    let result = match attempted {
        Ok(Some(result)) => result,
        // Unsettled and unchanged, the message returns to its queue for another dispatcher.
        Ok(None) => return,
        Err(panicked) => {
            panicked::report(&message, &panicked, &context.metrics);
            panicked::defer(&message, String::new(), &context.metrics)
        }
    };
    let concluded = Box::pin(conclude(received, &message, &trace, result, context));
    if let Err(panicked) = catch_panic(pin!(concluded)).await {
        panicked::report(&message, &panicked, &context.metrics);
    }
}

/// Makes an attempt, unless the message must not be attempted now. `None`: the process is stopping, or
/// deliveries are stopped.
async fn attempt(
    message: &Message,
    trace: &AttemptTrace,
    queue: WorkQueue,
    held: &HeldGuard,
    context: &AttemptContext,
    halt: &CancellationToken,
) -> Option<AttemptResult> {
    let metrics = &context.metrics;
    let route = context.routes.resolve(message);
    let unattempted =
        check_before_attempt(message, &route.target, queue, context.control(), metrics);
    if let Some(result) = unattempted.await {
        return Some(result);
    }
    let (slots, limiter) = (slots_of(message, queue), &context.limiter);
    let acquired = acquire_permit(&route, message, slots, limiter, halt);
    let permit = match acquired.await {
        Admission::Granted(permit) => permit,
        Admission::Deferred { reason, after } => {
            return Some(defer(message, route.target, reason, after, metrics));
        }
        Admission::Stopping => return None,
    };
    let in_flight = InFlight::begin(slots, metrics);
    held.set_in_flight(true);
    let traceparent = trace.traceparent(message);
    let (sender, keep_answers) = (&context.sender, context.keep().answers);
    let attempt = call(message, &route, sender, &traceparent, keep_answers).await;
    held.set_in_flight(false);
    // Before the record and the settlement: the consumer's prefetch bounds how many of those wait.
    release_permit(permit, &attempt);
    drop(in_flight);
    let pauses = context.limiter.pauses();
    pauses.call_ended(route.key.as_ref(), &attempt.outcome);
    let verdict = decide_next(message, &route, &attempt);
    let exported_trace = trace.exported_id(&verdict);
    count_attempt(message, &attempt, &verdict, queue, exported_trace, metrics);
    log_attempt(message, trace, &route, &attempt, &verdict, queue);
    trace.ended(message, &route, &attempt, &verdict, queue, context.tracer());
    let recent = &context.recent;
    recent.ended(|| describe(message, &route, &attempt, &verdict));
    Some(attempt_result(message, route.target, &attempt, verdict))
}

/// Records, settles and replies.
async fn conclude(
    received: Received,
    message: &Message,
    trace: &AttemptTrace,
    result: AttemptResult,
    context: &AttemptContext,
) {
    let AttemptResult {
        record,
        settlement,
        reply,
    } = result;
    let record = record.map(|record| with_message(record, message, &settlement, context.keep()));
    let attempted = record.as_ref().is_some_and(|it| it.attempted.is_some());
    let began = Instant::now();
    crash_point!("dispatcher.attempted");
    record_before_settle(record, context.recorder()).await;
    crash_point!("dispatcher.recorded");
    if attempted && context.recorder().is_some() {
        trace.recorded(message, began.elapsed(), context.tracer());
    }
    if settle(received, settlement).await {
        crash_point!("dispatcher.settled");
        send_reply(message, reply, &context.broker);
    }
}

/// What follows from an attempt with this verdict.
fn attempt_result(
    message: &Message,
    target: String,
    attempt: &CompletedAttempt,
    verdict: Verdict,
) -> AttemptResult {
    let settlement = settlement_for(message, attempt, verdict);
    // Random for each delivery, so that a redelivery does not hide this attempt.
    let run = fastrand::u64(..);
    let record = record::attempted(message, target, attempt, verdict, &settlement, run);
    AttemptResult {
        record: Some(record),
        settlement,
        reply: match verdict {
            Verdict::Delivered => Some(ReplyCode::Delivered),
            Verdict::Retry { .. } => Some(ReplyCode::Retrying),
            Verdict::DeadLetter(_) => Some(ReplyCode::Failed),
            Verdict::Defer { .. } => None,
        },
    }
}
