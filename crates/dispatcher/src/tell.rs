//! What is said of an attempt, in the log and in the metrics?

use crate::attempt::{Bench, millis};
use crate::follow_up::Attempted;
use crate::plan::Plan;
use broker::Lane;
use contract::Message;
use delivery::Verdict;
use std::time::Duration;

/// One event tells the whole attempt. Payloads, header values and query strings never appear.
pub(crate) fn tell(
    message: &Message,
    plan: &Plan,
    attempted: &Attempted,
    verdict: &Verdict,
    lane: Lane,
    bench: &Bench,
) {
    count(message, attempted, verdict, lane, bench);
    let outcome = attempted.outcome.label();
    let (word, next, reason, told) = match verdict {
        Verdict::Delivered => ("delivered", None, None, String::new()),
        Verdict::Retry { after } => {
            let told = format!(", next in {:.1} s", after.as_secs_f64());
            ("retry", Some(*after), None, told)
        }
        Verdict::Park { after } => {
            let told = format!(", parked for {:.1} s", after.as_secs_f64());
            ("parked", Some(*after), None, told)
        }
        Verdict::Dead(reason) => {
            let reason = reason.as_str();
            ("dead", None, Some(reason), format!(", given up ({reason})"))
        }
    };
    let most = message
        .options
        .max_attempts
        .unwrap_or_else(|| plan.schedule.attempts());
    let status = attempted.outcome.http_status();
    let answered = status.map(|it| format!(" {it}")).unwrap_or_default();
    tracing::info!(
        // As the documents show it, and filters name it.
        target: "dispatcher::attempt",
        request_id = %message.request_id,
        app_id = message.app_id,
        message_type = message.message_type,
        callee_no = message.callee_no,
        // Not `target`: the log's own field of that name says which module speaks.
        callback_target = plan.target,
        attempt = message.attempt,
        of = most,
        lane = lane.as_str(),
        outcome,
        http_status = status,
        duration_ms = millis(attempted.duration),
        verdict = word,
        next_in_s = next.map(|next| next.as_secs_f64()),
        reason,
        "attempt {} of {most}: {outcome}{answered}{told}",
        message.attempt,
    );
}

fn count(message: &Message, attempted: &Attempted, verdict: &Verdict, lane: Lane, bench: &Bench) {
    let (metrics, outcome) = (&bench.metrics, attempted.outcome.label());
    metrics.attempt(outcome, lane.as_str(), attempted.duration);
    match verdict {
        Verdict::Delivered => {
            let age = attempted.ended_at().saturating_sub(message.accepted_at);
            metrics.delivered_age(Duration::from_millis(age));
        }
        Verdict::Retry { .. } => metrics.retried(),
        Verdict::Park { .. } => metrics.parked(outcome),
        Verdict::Dead(reason) => metrics.dead(reason.as_str()),
    }
}
