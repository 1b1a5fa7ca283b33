//! Decides what happens after an attempt.

use super::call::CompletedAttempt;
use crate::policy::route::DeliveryRoute;
use contract::Message;
use delivery::{DecisionInput, Verdict, decide};
use runtime::clock::now_ms;

/// The verdict, by the callee's retry overrides if it has any.
pub(super) fn decide_next(
    message: &Message,
    route: &DeliveryRoute,
    attempt: &CompletedAttempt,
) -> Verdict {
    let input = DecisionInput {
        attempt: message.attempt,
        schedule: &route.schedule,
        max_attempts: message.options.max_attempts,
        expires_at_ms: expires_at_ms(message),
        now_ms: now_ms(),
        chance: fastrand::f64(),
        deferrals: message.deferrals,
    };
    match &route.profile {
        Some(profile) => profile.retry_overrides.decide(&attempt.outcome, &input),
        None => decide(&attempt.outcome, &input),
    }
}

/// When the callback expires, Unix ms.
pub(super) fn expires_at_ms(message: &Message) -> Option<u64> {
    let seconds = u64::from(message.options.expire_seconds?);
    Some(message.accepted_at.saturating_add(seconds * 1_000))
}
