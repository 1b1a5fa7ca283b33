//! The limits of a target, and why a message is deferred.

use std::time::Duration;

use super::rate_limiter::Rate;

/// A queue of work; each has its own slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WorkQueue {
    /// First attempts.
    First,
    /// Retries and deferred messages.
    Retry,
}

impl WorkQueue {
    pub(super) fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Retry => 1,
        }
    }
}

/// The limits of one target, in each dispatcher.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetLimits {
    /// The maximum number of calls in flight, both queues together. `None`: a tenth of each queue's
    /// concurrency, at least 1, for each queue separately.
    pub in_flight: Option<u32>,
    /// The maximum number of calls per second.
    pub rate: Option<Rate>,
    /// When the circuit breaker opens.
    pub breaker: BreakerRules,
    /// How long a message may wait in memory for a permit.
    pub queue_timeout: Duration,
}

impl Default for TargetLimits {
    fn default() -> Self {
        Self {
            in_flight: None,
            rate: None,
            breaker: BreakerRules::default(),
            queue_timeout: Duration::from_secs(2),
        }
    }
}

/// When a circuit breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerRules {
    /// It opens at this ratio of failures, 0 to 1.
    pub failure_ratio: f64,
    /// The minimum number of calls within the window before it may open. 0: it never opens.
    pub min_calls: u32,
    /// How far back calls count.
    pub window: Duration,
    /// How long it stays open at first; twice as long after each failed probe.
    pub open_duration: Duration,
    /// The maximum time that it stays open.
    pub max_open_duration: Duration,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self {
            failure_ratio: 0.5,
            min_calls: 20,
            window: Duration::from_secs(30),
            open_duration: Duration::from_secs(15),
            max_open_duration: Duration::from_secs(60),
        }
    }
}

/// Why a message is deferred before its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeferReason {
    /// The target is at its concurrency limit, and no more messages may wait in memory.
    InFlight,
    /// The target is at its rate limit.
    Rate,
    /// The circuit breaker is open.
    BreakerOpen,
    /// The target's `Retry-After` is in force.
    RetryAfter,
    /// An operator paused the target.
    Paused,
    /// The app of the message holds its share of the queue's slots, or as many as it may.
    AppInFlight,
}

impl DeferReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::InFlight,
        Self::Rate,
        Self::BreakerOpen,
        Self::RetryAfter,
        Self::Paused,
        Self::AppInFlight,
    ];

    /// A name for logs, metrics and records: `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Rate => "rate",
            Self::BreakerOpen => "breaker_open",
            Self::RetryAfter => "retry_after",
            Self::Paused => "paused",
            Self::AppInFlight => "app_in_flight",
        }
    }
}
