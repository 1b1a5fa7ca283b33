//! Catches panics of attempts: one panicking attempt must not take a place in memory for ever.

use super::acquire::deferred;
use super::decision::expires_at_ms;
use super::settlement::MAX_LIMIT_DEFERRALS;
use super::{record, settlement};
use crate::context::AttemptResult;
use crate::deferral::{DeferralCause, PANIC};
use crate::metrics::DispatcherMetrics;
use contract::Message;
use contract::ReplyCode;
use delivery::DeadLetterReason;
use delivery::limits::defer_delay;
use runtime::clock::now_ms;
use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// After so many deferrals since its last attempt, a message whose attempt panics is dead-lettered, as
/// one that the broker has delivered too often would be. Limits count up to [`MAX_LIMIT_DEFERRALS`], so
/// at least 11 attempts have panicked then.
const MAX_DEFERRALS: u32 = MAX_LIMIT_DEFERRALS + 11;

/// A panic, as text.
pub(super) struct Panicked(String);

/// Runs a future; a panic ends it, and is returned.
///
/// What the future holds is dropped by the panic, permits included. What it shares with others is
/// behind locks that outlive a panic.
pub(super) async fn catch_panic<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Result<T, Panicked> {
    poll_fn(move |context| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(Panicked(text(&*panic)))),
        }
    })
    .await
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no text").to_owned()
}

/// Counts and logs a panic.
pub(super) fn report(message: &Message, panicked: &Panicked, metrics: &DispatcherMetrics) {
    metrics.attempt_panicked();
    tracing::error!(
        request_id = %message.request_id, app_id = message.app_id, attempt = message.attempt,
        panic = panicked.0, "an attempt panicked: this is a bug; please report it"
    );
}

/// Defers the message of an attempt that panicked: the failure is ours and spends no attempt. The
/// delay grows with each, up to some minutes; in the end the message is dead-lettered.
pub(super) fn defer(
    message: &Message,
    target: String,
    metrics: &DispatcherMetrics,
) -> AttemptResult {
    let (now, reason) = (now_ms(), DeferralCause::InternalError(PANIC));
    if message.deferrals >= MAX_DEFERRALS {
        return give_up(message, target, now, metrics);
    }
    let left = expires_at_ms(message).map(|at| Duration::from_millis(at.saturating_sub(now)));
    let delay = defer_delay(Duration::ZERO, message.deferrals, fastrand::f64(), left);
    metrics.deferred(&message.app_id, reason);
    let settlement = settlement::defer_after_error(message, now, delay);
    deferred(message, target, (now, reason, delay), settlement)
}

fn give_up(
    message: &Message,
    target: String,
    now: u64,
    metrics: &DispatcherMetrics,
) -> AttemptResult {
    let reason = DeadLetterReason::DeliveryLimit;
    tracing::warn!(
        request_id = %message.request_id, app_id = message.app_id, attempt = message.attempt,
        reason = reason.as_str(), "callback dead-lettered: its attempts panic again and again"
    );
    metrics.dead_lettered(&message.app_id, reason);
    let settlement = settlement::dead_letter(message.clone(), reason);
    let record = record::unattempted(message, target, now, reason, &settlement);
    AttemptResult {
        record: Some(record),
        settlement,
        reply: Some(ReplyCode::Failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::Settlement;
    use runtime::MetricsRegistry;

    fn message(deferrals: u32) -> Message {
        let message = format!(
            r#"{{"v":2,"request_id":"01996d2c-4f00-7a3b-8c1d-2e3f4a5b6c7f","app_id":"shop","callee_no":"EO001","message_type":"order.paid","accepted_at":1758500000000,"generation":0,"attempt":2,"deferrals":{deferrals},"request_message":{{}}}}"#
        );
        Message::decode(&message.into()).unwrap()
    }

    #[test]
    fn a_message_whose_attempts_panic_again_and_again_ends_as_a_dead_letter() {
        let registry = MetricsRegistry::new();
        let metrics = registry.add(DispatcherMetrics::register);
        for deferrals in [0, MAX_LIMIT_DEFERRALS, MAX_DEFERRALS - 1] {
            let result = defer(&message(deferrals), String::new(), &metrics);
            let Settlement::Reschedule { message, .. } = result.settlement else {
                panic!("{deferrals}: {:?}", result.settlement)
            };
            let next = Message::decode(&message.body).unwrap();
            let unspent = (next.attempt, next.deferrals);
            assert_eq!(unspent, (2, deferrals + 1));
        }
        let result = defer(&message(MAX_DEFERRALS), String::new(), &metrics);
        let ended = matches!(result.settlement, Settlement::DeadLetter { .. });
        assert!(ended, "{:?}", result.settlement);
    }
}
