//! A callback as it is read back.

use contract::CallbackStatus;

use super::record::{AttemptRecord, Origin};

/// A callback as stored in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The fixed part of the callback.
    pub origin: Origin,
    /// How often it was replayed.
    pub generation: u32,
    /// Its stored status.
    pub status: CallbackStatus,
    /// Why it was dead-lettered; with `Dead`.
    pub reason: Option<String>,
    /// Why it was deferred, in a word, while it waits because of that.
    pub deferred_reason: Option<String>,
    /// When the next attempt is due, Unix ms; with a status that is not final.
    pub next_attempt_at: Option<u64>,
    /// Its cancellation was requested while it may have been in flight.
    pub cancel_requested: bool,
    /// It was discarded: it is kept, but will not be replayed.
    pub discarded: bool,
    /// Not an operator but its age discarded it (`dead_letters.retention`).
    pub discarded_by_retention: bool,
    /// The time of the last record about it, Unix ms.
    pub updated_at: u64,
    /// All attempts, oldest first: by generation, then number, then start. Empty in lists.
    pub attempts: Vec<AttemptRecord>,
}

impl Callback {
    /// The status as people see it at `now` (Unix ms): a callback whose next attempt is due is
    /// being delivered.
    pub fn status_at(&self, now: u64) -> CallbackStatus {
        let due = self.next_attempt_at.is_some_and(|at| at <= now);
        match self.status {
            CallbackStatus::Queued | CallbackStatus::Retrying if due => CallbackStatus::Delivering,
            status => status,
        }
    }
}
