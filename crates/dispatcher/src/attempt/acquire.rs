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
use contract::Message;
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
    /// The process is stopping.
    Stopping,
}

/// Asks the limiter for the target's permit and one of these slots.
pub(super) async fn acquire_permit(
    route: &DeliveryRoute,
    app_id: &str,
    slots: WorkQueue,
    limiter: &Arc<TargetLimiter>,
    stop: &CancellationToken,
) -> Admission {
    let Some(key) = &route.key else {
        return Admission::Granted(None);
    };
    let answer = limiter.try_acquire(PermitRequest {
        app_id,
        app_cap: route.app_cap,
        key,
        queue: slots,
        limits: &route.limits,
        paused: route.paused,
    });
    let pending = match answer {
        TryAcquire::Done(acquired) => return acquired.into(),
        TryAcquire::Pending(pending) => pending,
    };
    // Boxed, so that a message that does not have to wait takes no memory for it.
    let acquired = Box::pin(stop.run_until_cancelled(pending.acquired())).await;
    acquired.map_or(Admission::Stopping, Admission::from)
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
        permit.release(&CallSample::of(&attempt.outcome, attempt.duration));
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
    metrics.deferred(reason);
    tracing::debug!(
        request_id = %message.request_id, callback_target = target, attempt = message.attempt,
        reason = reason.as_str(), next_in_s = delay.as_secs_f64(),
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
