//! Acquires a permit and a slot for the call, or defers the message.

use super::call::CompletedAttempt;
use super::decision::expires_at_ms;
use super::{record, settlement};
use crate::context::AttemptResult;
use crate::deferral::DeferralCause;
use crate::limits::limiter::{Acquired, PermitGuard, PermitRequest, TargetLimiter, TryAcquire};
use crate::metrics::DispatcherMetrics;
use crate::policy::route::DeliveryRoute;
use crate::queue::WorkQueue;
use broker::Settlement;
use contract::{Message, duration_ms};
use delivery::limits::{CallSample, DeferReason, defer_delay};
use runtime::clock::now_ms;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The backoff of messages over their app's share grows up to 2^4 s.
const MAX_APP_BACKOFF: u32 = 4;

/// Whether a call may be made.
pub(super) enum Admission {
    /// Yes. Without a permit where there is no target to call: such an attempt ends at once.
    Granted(Option<PermitGuard>),
    /// Not now.
    Deferred {
        reason: DeferReason,
        /// The shortest wait, as far as it is known.
        after: Duration,
    },
    /// The process is stopping, or deliveries are stopped.
    Stopping,
}

/// The deferral of a message whose target sets no pace.
const PAUSED: Admission = Admission::Deferred {
    reason: DeferReason::Paused,
    after: Duration::ZERO,
};

/// Asks the limiter for the target's permit and one of these slots. After `halt` none is granted.
pub(super) async fn acquire_permit(
    route: &DeliveryRoute,
    message: &Message,
    slots: WorkQueue,
    limiter: &Arc<TargetLimiter>,
    halt: &CancellationToken,
) -> Admission {
    let app_id = &*message.app_id;
    let mut pauses = limiter.pauses().in_force();
    let paused = pauses.covers(app_id, &message.message_type);
    let admission = match &route.key {
        // Not attempted in vain while its app or message type is paused.
        None if paused => PAUSED,
        None => Admission::Granted(None),
        Some(key) => {
            let answer = limiter.try_acquire(PermitRequest {
                app_id,
                app_cap: route.app_cap,
                key,
                queue: slots,
                limits: &route.limits,
                paused: paused || route.paused,
            });
            match answer {
                TryAcquire::Done(acquired) => acquired.into(),
                TryAcquire::Pending(pending) => {
                    // Boxed, so that a message that does not have to wait takes no memory for it.
                    let acquired = Box::pin(halt.run_until_cancelled(pending.acquired())).await;
                    pauses = limiter.pauses().in_force();
                    match acquired.map_or(Admission::Stopping, Admission::from) {
                        // Its pause began during the wait.
                        Admission::Granted(_) if pauses.covers(app_id, &message.message_type) => {
                            PAUSED
                        }
                        admission => admission,
                    }
                }
            }
        }
    };
    match admission {
        Admission::Granted(_) if halt.is_cancelled() || pauses.deliveries_are_stopped() => {
            Admission::Stopping
        }
        admission => admission,
    }
}

impl From<Acquired> for Admission {
    fn from(acquired: Acquired) -> Self {
        match acquired {
            Acquired::Permit(permit) => Self::Granted(Some(permit)),
            Acquired::Deferred { reason, after } => Self::Deferred { reason, after },
        }
    }
}

/// Releases the permit with its slot, and reports the call to the limiter.
pub(super) fn release_permit(permit: Option<PermitGuard>, attempt: &CompletedAttempt) {
    if let Some(permit) = permit {
        let sample = CallSample::of(&attempt.outcome, attempt.duration);
        permit.release(&sample.with_cause(attempt.cause.as_deref()));
    }
}

/// Defers a message without spending its attempt.
pub(super) fn defer(
    message: &Message,
    target: String,
    limit: DeferReason,
    after: Duration,
    metrics: &DispatcherMetrics,
) -> AttemptResult {
    let (now, reason) = (now_ms(), DeferralCause::Limit(limit));
    let left = expires_at_ms(message).map(|at| Duration::from_millis(at.saturating_sub(now)));
    // An app's share: the limiter knows the pace, so that the backoff need not find it.
    let deferrals = match limit {
        DeferReason::AppInFlight => message.deferrals.min(MAX_APP_BACKOFF),
        _ => message.deferrals,
    };
    let delay = defer_delay(after, deferrals, fastrand::f64(), left);
    metrics.deferred(&message.app_id, reason);
    tracing::debug!(
        // Documented, and used in log filters.
        target: "dispatcher::deferral",
        request_id = %message.request_id, app_id = message.app_id,
        message_type = message.message_type, callback_target = target, attempt = message.attempt,
        reason = reason.as_str(), next_in_s = Duration::from_millis(duration_ms(delay)).as_secs_f64(),
        "message deferred by a limit of its target or its app"
    );
    let settlement = settlement::defer(message, now, delay);
    deferred(message, target, (now, reason, delay), settlement)
}

/// The result of a message that was deferred at this time (Unix ms), for this reason and so long.
pub(super) fn deferred(
    message: &Message,
    target: String,
    (now, reason, delay): (u64, DeferralCause, Duration),
    settlement: Settlement,
) -> AttemptResult {
    let record = record::deferred(message, target, now, reason, delay, &settlement);
    AttemptResult {
        record: Some(record),
        settlement,
        reply: None,
    }
}
