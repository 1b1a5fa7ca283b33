//! The log event and the metrics of an attempt, and its description for operators who watch.

use super::call::CompletedAttempt;
use super::spans::AttemptTrace;
use crate::deferral::DeferralCause;
use crate::metrics::DispatcherMetrics;
use crate::policy::route::DeliveryRoute;
use crate::queue::{WorkQueue, queue_label};
use contract::control::AttemptSeen;
use contract::{Message, duration_ms};
use delivery::retry::SHORT_BUDGET;
use delivery::{DeadLetterReason, Verdict};
use std::time::Duration;

/// Logs the whole attempt as one event. Payloads, answers, header values and query
/// strings never appear.
pub(super) fn log_attempt(
    message: &Message,
    trace: &AttemptTrace,
    route: &DeliveryRoute,
    attempt: &CompletedAttempt,
    verdict: &Verdict,
    queue: WorkQueue,
) {
    let outcome = attempt.outcome.label();
    let max_attempts = message
        .options
        .max_attempts
        .unwrap_or_else(|| route.schedule.attempts());
    let (verdict, next, reason, text) = match verdict {
        Verdict::Delivered => ("delivered", None, None, String::new()),
        Verdict::Retry { after } => {
            let text = format!(", retry in {:.1} s", after.as_secs_f64());
            ("retry", Some(*after), None, text)
        }
        Verdict::Defer { after } => {
            let text = format!(", deferred for {:.1} s", after.as_secs_f64());
            ("deferred", Some(*after), None, text)
        }
        Verdict::DeadLetter(reason) => {
            let budget = short_budget(*reason, message.attempt, max_attempts);
            let reason = reason.as_str();
            let text = format!(", dead-lettered ({reason}{budget})");
            ("dead_lettered", None, Some(reason), text)
        }
    };
    let http_status = attempt.outcome.http_status();
    let status = http_status.map(|status| format!(" {status}"));
    let status = status.unwrap_or_default();
    tracing::info!(
        // Documented, and used in log filters.
        target: "dispatcher::attempt",
        request_id = %message.request_id,
        trace_id = format_args!("{:032x}", trace.trace_id()),
        app_id = message.app_id,
        message_type = message.message_type,
        callee_no = message.callee_no,
        // Not `target`: the log's own field of that name is the module.
        callback_target = route.target,
        attempt = message.attempt,
        of = max_attempts,
        queue = queue_label(queue),
        outcome,
        http_status,
        cause = attempt.cause,
        duration_ms = duration_ms(attempt.duration),
        verdict,
        next_in_s = next.map(|next| Duration::from_millis(duration_ms(next)).as_secs_f64()),
        reason,
        "attempt {} of {max_attempts}: {outcome}{status}{text}",
        message.attempt,
    );
}

/// The attempt as operators see it. As in the log, payloads, answers and query strings are not in it.
pub(super) fn describe(
    message: &Message,
    route: &DeliveryRoute,
    attempt: &CompletedAttempt,
    verdict: &Verdict,
) -> AttemptSeen {
    let ended_at = attempt.ended_at();
    let due_after = |after: &Duration| Some(ended_at.saturating_add(duration_ms(*after)));
    let (verdict, next_attempt_at) = match verdict {
        Verdict::Delivered => ("delivered", None),
        Verdict::Retry { after } => ("retry", due_after(after)),
        Verdict::Defer { after } => ("deferred", due_after(after)),
        Verdict::DeadLetter(_) => ("dead_lettered", None),
    };
    AttemptSeen {
        sequence: 0, // Given by those who remember it.
        request_id: message.request_id,
        app_id: message.app_id.clone(),
        callee_no: message.callee_no.clone(),
        target: route.target.clone(),
        message_type: message.message_type.clone(),
        attempt: message.attempt,
        ended_at,
        duration_ms: duration_ms(attempt.duration),
        outcome: attempt.outcome.label().to_owned(),
        http_status: attempt.outcome.http_status(),
        cause: attempt.cause.clone(),
        verdict: verdict.to_owned(),
        next_attempt_at,
    }
}

/// Why attempts are exhausted before the schedule is.
fn short_budget(reason: DeadLetterReason, attempt: u32, max_attempts: u32) -> String {
    if reason == DeadLetterReason::Exhausted && attempt < max_attempts {
        return format!(": an outcome of this kind has {SHORT_BUDGET} attempts");
    }
    String::new()
}

pub(super) fn count_attempt(
    message: &Message,
    attempt: &CompletedAttempt,
    verdict: &Verdict,
    queue: WorkQueue,
    exported_trace: Option<u128>,
    metrics: &DispatcherMetrics,
) {
    metrics.attempt(&attempt.outcome, queue, attempt.duration, exported_trace);
    match verdict {
        Verdict::Delivered => {
            let latency = attempt.ended_at().saturating_sub(message.accepted_at);
            let latency = Duration::from_millis(latency);
            metrics.delivered(&message.app_id, latency, exported_trace);
        }
        Verdict::Retry { .. } => metrics.retry_scheduled(&message.app_id),
        Verdict::Defer { .. } => {
            metrics.deferred(
                &message.app_id,
                DeferralCause::InternalError(attempt.outcome.label()),
            );
        }
        Verdict::DeadLetter(reason) => metrics.dead_lettered(&message.app_id, *reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_that_end_before_the_schedule_does_say_why() {
        let exhausted = DeadLetterReason::Exhausted;
        let sentence = ": an outcome of this kind has 3 attempts";
        assert_eq!(short_budget(exhausted, 3, 9), sentence);
        assert_eq!(short_budget(exhausted, 9, 9), "");
        assert_eq!(short_budget(DeadLetterReason::Rejected, 1, 9), "");
    }
}
