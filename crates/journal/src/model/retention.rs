//! How long things are kept, and what one retention step removed.

use std::time::Duration;

use super::audit::AuditEntry;

/// How long things are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Callbacks that have ended, with their attempts, counted from acceptance. Dead letters are
    /// kept longer if their own retention asks for it.
    pub callbacks: Duration,
    /// Dead letters, counted from the time they were dead-lettered. After it they are discarded,
    /// and their bodies are removed.
    pub dead_letters: Duration,
    /// Messages of delivered callbacks, counted from the delivery. After it they are removed.
    pub delivered: Duration,
    /// Entries of the audit log.
    pub audits: Duration,
    /// Rollups.
    pub rollups: Duration,
}

/// What one retention step removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionProgress {
    /// Callbacks; an estimate if a large partition was dropped.
    pub callbacks: u64,
    /// Dead letters discarded because of their age.
    pub dead_letters: u64,
    /// Entries of the audit log.
    pub audits: u64,
    /// Rollups: one for each minute and name.
    pub rollups: u64,
    /// Idempotency keys older than 24 hours.
    pub idempotency_keys: u64,
    /// Whether another step would find more.
    pub more: bool,
    /// In the last step: callbacks past their retention that are kept because they have not ended:
    /// they wait, or the record of their end was lost. At most [`MAX_UNFINISHED_COUNTED`].
    pub unfinished: u64,
}

/// How long the row of a dead letter that was discarded because of its age is kept at least, so that
/// its copy in the dead-letter queue is recognised and removed.
const DISCARDED_KEPT: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// How long the row of a callback is kept at least after its cancellation was requested: as long as its
/// message may wait in the broker, which is 12 days and a little more. Without the row the message
/// would be attempted.
const CANCELLED_KEPT: Duration = Duration::from_secs(13 * 24 * 60 * 60);

/// Rows that have ended, but still mean something to a message in the broker. Unix ms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered {
    /// Dead letters that were discarded because of their age since then.
    pub(crate) discarded_since: u64,
    /// Callbacks whose cancellation was requested since then.
    pub(crate) cancelled_since: u64,
}

impl Remembered {
    pub(crate) fn at(now: u64) -> Self {
        let before = |kept| now.saturating_sub(contract::duration_ms(kept));
        Self {
            discarded_since: before(DISCARDED_KEPT),
            cancelled_since: before(CANCELLED_KEPT),
        }
    }
}

/// How many unfinished callbacks are counted at most.
pub const MAX_UNFINISHED_COUNTED: u64 = 100_000;

/// The audit entry (a part, of [`retention_operation`]) about dead letters that were discarded because of their age.
pub fn retention_discards(count: usize, now: u64) -> AuditEntry {
    AuditEntry {
        occurred_at: now,
        actor: "retention".to_owned(),
        action: "discard".to_owned(),
        subject: "dead letters past dead_letters.retention".to_owned(),
        reason: "retention".to_owned(),
        count: u64::try_from(count).unwrap_or(u64::MAX),
    }
}

/// The operation of these entries: one for each day, UTC.
pub fn retention_operation(now: u64) -> String {
    let time = contract::rfc3339(now);
    let day = time.split('T').next().unwrap_or_default();
    format!("retention {day}")
}
