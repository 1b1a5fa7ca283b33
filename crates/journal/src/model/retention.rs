//! How long things are kept, and what one retention step removed.

use std::time::Duration;

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Callbacks that have ended, with their attempts, counted from acceptance.
    pub callbacks: Duration,
    /// The bodies of dead letters, counted from the time they were dead-lettered. A dead letter
    /// without its body cannot be replayed.
    pub bodies: Duration,
}

/// What one retention step removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionProgress {
    /// Callbacks; an estimate if a large partition was dropped.
    pub callbacks: u64,
    /// Bodies of dead letters.
    pub bodies: u64,
    /// Idempotency keys older than 24 hours.
    pub idempotency_keys: u64,
    /// Whether another step would find more.
    pub more: bool,
}
