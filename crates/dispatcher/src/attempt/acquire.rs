//! Acquires a permit of the target, or defers the message.

use super::call::CompletedAttempt;
use super::decision::expires_at_ms;
use super::{record, settlement};
use crate::concurrency::ConcurrencyPermit;
use crate::context::AttemptResult;
use crate::deferral::DeferralCause;
use crate::limits::limiter::{Acquired, PermitGuard, TargetLimiter, TryAcquire};
use crate::metrics::DispatcherMetrics;
use crate::policy::route::DeliveryRoute;
use contract::Message;
use delivery::limits::{CallSample, DeferReason, defer_delay};
use runtime::clock::now_ms;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Whether a call may be made.
pub(super) enum Admission {
    /// Yes. Without a permit where there is no target to call.
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

/// Asks the limiter. A message that waits for the target's permit holds no concurrency permit.
pub(super) async fn acquire_permit(
    route: &DeliveryRoute,
    permit: &mut ConcurrencyPermit,
    limiter: &Arc<TargetLimiter>,
    stop: &CancellationToken,
) -> Admission {
    let Some(key) = &route.key else {
        return Admission::Granted(None);
    };
    let answer = limiter.try_acquire(key, permit.queue(), &route.limits, route.paused);
    let pending = match answer {
        TryAcquire::Done(acquired) => return acquired.into(),
        TryAcquire::Pending(pending) => pending,
    };
    permit.release();
    let wait = async {
        let acquired = pending.acquired().await;
        if let Acquired::Permit(_) = acquired {
            permit.reacquire().await;
        }
        acquired
    };
    // Boxed, so that a message that does not have to wait takes no memory for it.
    let acquired = Box::pin(stop.run_until_cancelled(wait)).await;
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

/// Releases the target's permit, and reports the call to the limiter.
pub(super) fn release_permit(permit: Option<PermitGuard>, attempt: &CompletedAttempt) {
    if let Some(permit) = permit {
        permit.release(&CallSample::of(&attempt.outcome, attempt.duration));
    }
}

/// Defers a message without spending its attempt.
pub(super) fn defer(
    message: &Message,
    target: String,
    reason: DeferReason,
    after: Duration,
    metrics: &DispatcherMetrics,
) -> AttemptResult {
    let (now, reason) = (now_ms(), DeferralCause::Limit(reason));
    let left = expires_at_ms(message).map(|at| Duration::from_millis(at.saturating_sub(now)));
    let delay = defer_delay(after, message.deferrals, fastrand::f64(), left);
    metrics.deferred(reason);
    tracing::debug!(
        request_id = %message.request_id, callback_target = target, attempt = message.attempt,
        reason = reason.as_str(), next_in_s = delay.as_secs_f64(),
        "message deferred by a limit of its target"
    );
    let settlement = settlement::defer(message, now, delay);
    AttemptResult {
        record: Some(record::deferred(
            message,
            target,
            now,
            reason,
            delay,
            &settlement,
        )),
        settlement,
        reply: None,
    }
}
