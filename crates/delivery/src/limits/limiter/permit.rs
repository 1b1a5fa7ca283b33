//! What the limiter gives: permits to call, tickets to wait, decisions.

use std::sync::Arc;
use std::time::Duration;

use crate::limits::circuit::CircuitKey;
use crate::limits::circuit_breaker::BreakerToken;
use crate::limits::limit_key::LimitKey;
use crate::limits::policy::{DeferReason, TargetLimits, WorkQueue};

/// The longest wait of a message that queues past the limit.
const MAX_OVERFLOW_WAIT: Duration = Duration::from_millis(200);

/// A message that is ready for its attempt.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionRequest<'a> {
    /// The app that it is of.
    pub app_id: &'a str,
    /// What is called.
    pub key: &'a LimitKey,
    /// Whose slots it takes.
    pub queue: WorkQueue,
    /// What limits it.
    pub terms: Terms<'a>,
}

/// What limits a message, apart from its app's share.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The limits of the target.
    pub limits: &'a TargetLimits,
    /// The maximum number of calls of the app, both queues together.
    pub app_cap: Option<u32>,
    /// Whether an operator paused the target.
    pub paused: bool,
}

/// Identifies a target for as long as a permit or a ticket of it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(pub(super) u32);

/// Identifies an app for as long as a permit or a ticket of it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(pub(super) u32);

/// The right to make one call. Return it by [`Limiter::complete`](super::Limiter::complete), however
/// the call ended.
#[derive(Debug)]
#[must_use = "a permit that is not returned is lost for ever"]
pub struct Permit {
    pub(super) app: AppId,
    pub(super) target: TargetId,
    pub(super) queue: WorkQueue,
    pub(super) circuit: CircuitKey,
    pub(super) token: BreakerToken,
}

/// The right to wait in memory. Return it by
/// [`Limiter::retry_admission`](super::Limiter::retry_admission),
/// [`Limiter::expire`](super::Limiter::expire) or [`Limiter::cancel`](super::Limiter::cancel).
#[derive(Debug)]
#[must_use = "a ticket that is not returned is lost for ever"]
pub struct Ticket {
    pub(super) app: AppId,
    pub(super) target: TargetId,
    pub(super) queue: WorkQueue,
    pub(super) circuit: CircuitKey,
    pub(super) place: Place,
    /// It took its token of the rate.
    pub(super) has_token: bool,
}

/// What a message waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Its target, which is at a limit.
    Target {
        /// Which limit.
        reason: DeferReason,
        /// Its turn by the rate limit: retry after this time. `None`: retry when a call to the
        /// target has ended.
        turn: Option<Duration>,
        /// Queued past the limit of waiting messages, because the target is fast.
        overflow: bool,
    },
    /// A slot: retry when any call has ended.
    Slot {
        /// How long at most.
        max_wait: Duration,
    },
}

/// What happens to a message that is ready for its attempt.
#[derive(Debug)]
pub enum LimitDecision {
    /// The call may be made.
    Admit(Permit),
    /// The message waits in memory: see [`Ticket::place`].
    Wait(Ticket),
    /// The message is deferred; its attempt is not counted.
    Defer {
        /// Why.
        reason: DeferReason,
        /// How long at least, as far as that is known.
        after: Duration,
    },
}

impl Permit {
    /// The app.
    #[must_use]
    pub fn app(&self) -> AppId {
        self.app
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> TargetId {
        self.target
    }

    /// The app whose calls share a circuit breaker with this one. `None`: all apps do.
    #[must_use]
    pub fn circuit_of(&self) -> Option<&Arc<str>> {
        self.circuit.as_ref()
    }
}

impl Ticket {
    /// The app.
    #[must_use]
    pub fn app(&self) -> AppId {
        self.app
    }

    /// The target.
    #[must_use]
    pub fn target(&self) -> TargetId {
        self.target
    }

    /// The queue whose slots the message takes.
    #[must_use]
    pub fn queue(&self) -> WorkQueue {
        self.queue
    }

    /// What the message waits for.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// Why it is deferred if it waits too long.
    pub(super) fn reason(&self) -> DeferReason {
        match self.place {
            Place::Target { reason, .. } => reason,
            Place::Slot { .. } => DeferReason::AppInFlight,
        }
    }

    /// How long to wait at most. Past the limit of waiting messages the time is short: the target
    /// may have stopped answering, and then too many wait.
    #[must_use]
    pub fn max_wait(&self, limits: &TargetLimits) -> Duration {
        match self.place {
            Place::Target { overflow: true, .. } => limits.queue_timeout.min(MAX_OVERFLOW_WAIT),
            Place::Target {
                overflow: false, ..
            } => limits.queue_timeout,
            Place::Slot { max_wait } => max_wait,
        }
    }
}
