//! Checks before an attempt: not due, cancelled, superseded by a replay or a retry, expired.

use super::decision::expires_at_ms;
use super::record;
use super::settlement::{dead_letter, to_broker_message};
use crate::cancellation::{ControlLookup, SkipReason};
use crate::context::AttemptResult;
use crate::deferral::DeferralCause;
use crate::metrics::DispatcherMetrics;
use crate::queue::WorkQueue;
use broker::Settlement;
use contract::{Message, ReplyCode};
use delivery::DeadLetterReason;
use failpoints::sabotage;
use runtime::clock::now_ms;
use std::time::Duration;

/// The result for a message that must not be attempted now. `None`: it may be attempted.
pub(super) async fn check_before_attempt(
    message: &Message,
    target: &str,
    queue: WorkQueue,
    control: Option<&ControlLookup>,
    metrics: &DispatcherMetrics,
) -> Option<AttemptResult> {
    let now = now_ms();
    if let Some(delay) = due_in(message, now) {
        metrics.deferred(&message.app_id, DeferralCause::NotDue);
        return Some(AttemptResult {
            record: None,
            settlement: Settlement::Reschedule {
                delay,
                message: to_broker_message(message),
            },
            reply: None,
        });
    }
    let waited = match queue {
        WorkQueue::First => false,
        WorkQueue::Retry => true,
    };
    if let Some(control) = control.filter(|_| waited)
        && let Some(reason) = control
            .skip_reason(message.request_id, message.generation, message.hold)
            .await
    {
        sabotage!("ignore-cancel", return None);
        return Some(match reason {
            SkipReason::Cancelled => cancelled(message, target, now, metrics),
            SkipReason::Replayed => stale(message, "replayed", metrics),
            SkipReason::Retried => stale(message, "retried now", metrics),
        });
    }
    expires_at_ms(message)
        .is_some_and(|expires_at| expires_at <= now)
        .then(|| expired(message, target, now, metrics))
}

/// How long the message must still wait. It arrives early if its delay exceeds the broker's longest,
/// or if it was moved by hand.
///
/// A message that was scheduled in the future was so by a clock ahead of this one. The broker, which
/// counts time and reads no clock, has held it for its delay: it is due.
fn due_in(message: &Message, now_ms: u64) -> Option<Duration> {
    let early = message.not_before?.checked_sub(now_ms)?;
    let scheduled_at = message.scheduled_at.unwrap_or(message.accepted_at);
    (early > 0 && scheduled_at <= now_ms).then(|| Duration::from_millis(early))
}

/// How long the message has been due, in ms.
pub(super) fn due_for(message: &Message, now_ms: u64) -> u64 {
    let due = message.not_before.unwrap_or(message.accepted_at);
    now_ms.saturating_sub(due)
}

fn cancelled(
    message: &Message,
    target: &str,
    now: u64,
    metrics: &DispatcherMetrics,
) -> AttemptResult {
    metrics.cancelled();
    tracing::info!(
        request_id = %message.request_id, app_id = message.app_id,
        "attempt skipped: callback cancelled"
    );
    AttemptResult {
        record: Some(record::cancelled(message, target.to_owned(), now)),
        settlement: Settlement::Complete,
        reply: Some(ReplyCode::Failed),
    }
}

fn stale(message: &Message, since: &str, metrics: &DispatcherMetrics) -> AttemptResult {
    metrics.stale_replica_discarded();
    tracing::info!(
        request_id = %message.request_id, generation = message.generation, hold = message.hold,
        "attempt skipped: callback {since}, this message is stale"
    );
    AttemptResult {
        record: None,
        settlement: Settlement::Complete,
        reply: None,
    }
}

fn expired(
    message: &Message,
    target: &str,
    now: u64,
    metrics: &DispatcherMetrics,
) -> AttemptResult {
    let reason = DeadLetterReason::Expired;
    tracing::warn!(
        request_id = %message.request_id, app_id = message.app_id, attempt = message.attempt,
        reason = reason.as_str(), "callback dead-lettered: it expired before its attempt"
    );
    metrics.dead_lettered(&message.app_id, reason);
    let settlement = dead_letter(message.clone(), reason);
    let record = record::unattempted(message, target.to_owned(), now, reason, &settlement);
    AttemptResult {
        record: Some(record),
        settlement,
        reply: Some(ReplyCode::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attempt::settlement::defer;
    use crate::tests::message;

    const NOW: u64 = 1_763_900_000_000;
    const DAY: u64 = 86_400_000;

    fn scheduled(at: u64, delay_ms: u64) -> Message {
        let mut message = message();
        message.accepted_at = NOW - 60_000;
        let settlement = defer(&message, at, Duration::from_millis(delay_ms));
        let Settlement::Reschedule { message, .. } = settlement else {
            panic!("{settlement:?}")
        };
        Message::decode(&message.body).unwrap()
    }

    #[test]
    fn a_message_that_comes_early_waits_for_the_rest_of_its_delay() {
        let message = scheduled(NOW, 5_000);
        assert_eq!(due_in(&message, NOW + 5_000), None);
        let rest = Some(Duration::from_millis(4_000));
        assert_eq!(due_in(&message, NOW + 1_000), rest);
        // An older version did not say when it was scheduled.
        let old = Message {
            scheduled_at: None,
            ..message
        };
        assert_eq!(due_in(&old, NOW + 1_000), rest);
    }

    #[test]
    fn a_retry_scheduled_under_a_clock_a_day_ahead_is_due_when_the_broker_delivers_it() {
        let message = scheduled(NOW + DAY, 5_000);
        assert_eq!(due_in(&message, NOW + 5_000), None);
        // So is a callback that was accepted with a delay under such a clock.
        let mut accepted = scheduled(NOW, 5_000);
        (accepted.accepted_at, accepted.scheduled_at) = (NOW + DAY, None);
        accepted.not_before = Some(NOW + DAY + 60_000);
        assert_eq!(due_in(&accepted, NOW + 60_000), None);
    }
}
