//! A callback as it is read back.

use contract::CallbackStatus;

use super::record::{AttemptRecord, Origin};
use super::unaccounted::Unaccounted;

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
    /// When its cancellation was requested last, whether it took effect at once or not; Unix ms.
    pub cancel_requested_at: Option<u64>,
    /// It was discarded: it is kept, but will not be replayed.
    pub discarded: bool,
    /// Not an operator but its age discarded it (`dead_letters.retention`).
    pub discarded_by_retention: bool,
    /// The time of the last record about it, Unix ms.
    pub updated_at: u64,
    /// With `Unaccounted`.
    pub unaccounted: Option<Unaccounted>,
    /// How often it was retried now in this generation.
    pub hold: u32,
    /// The journal has its queue message: it can be retried now, or replayed.
    pub has_message: bool,
    /// All attempts, oldest first: by generation, then number, then start. Empty in lists.
    pub attempts: Vec<AttemptRecord>,
}

/// How long after its due time a callback counts as overdue, in ms. An attempt lasts a minute at
/// most, and waits for a slot before.
const OVERDUE_MS: u64 = 5 * 60 * 1_000;

impl Callback {
    /// When its next attempt is or was due, Unix ms. `None`: it has ended, or is unaccounted for.
    pub fn due_at(&self) -> Option<u64> {
        // A callback without a delay is due when it is accepted or replayed.
        let due = self.next_attempt_at.unwrap_or(self.updated_at);
        self.status.is_unfinished().then_some(due)
    }

    /// Since when its next attempt is due at `now` (both Unix ms), and nothing has been recorded: a
    /// process holds it, or it waits for one. `None`: it is not due.
    pub fn due_since(&self, now: u64) -> Option<u64> {
        self.due_at().filter(|due| *due <= now)
    }

    /// Since when it is overdue at `now` (both Unix ms): its next attempt was due more than five
    /// minutes ago, and nothing has been recorded. It waits behind many others, or its message was
    /// removed from the queue by hand. `None`: it is not overdue.
    pub fn overdue_since(&self, now: u64) -> Option<u64> {
        let overdue = |due: &u64| due.saturating_add(OVERDUE_MS) <= now;
        self.due_at().filter(overdue)
    }

    /// The status as callers see it. The journal does not know which process holds a callback: `held`
    /// says that one is known to, and then it is being delivered. Of an unaccounted callback it is the
    /// last known one.
    pub fn last_known_status(&self, held: bool) -> CallbackStatus {
        match (self.status, self.unaccounted) {
            (CallbackStatus::Unaccounted, Some(Unaccounted { last_status, .. })) => last_status,
            (CallbackStatus::Unaccounted, None) => CallbackStatus::Queued,
            _ => self.status_if(held),
        }
    }

    /// The status as operators see it: `Delivering` if a process is known to hold it. What is due and
    /// held by nobody that is known still waits.
    pub fn status_if(&self, held: bool) -> CallbackStatus {
        match self.status {
            CallbackStatus::Queued | CallbackStatus::Retrying if held => CallbackStatus::Delivering,
            status => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: u64 = 1_763_900_000_000;

    fn callback(status: CallbackStatus, next_attempt_at: Option<u64>) -> Callback {
        Callback {
            origin: Origin {
                request_id: uuid::Uuid::nil(),
                app_id: "a".to_owned(),
                caller_no: None,
                callee_no: None,
                message_type: "m".to_owned(),
                callback_url: None,
                target: "https://x.cn:443".to_owned(),
                accepted_at: DUE,
            },
            generation: 0,
            status,
            reason: None,
            deferred_reason: None,
            next_attempt_at,
            cancel_requested: false,
            cancel_requested_at: None,
            discarded: false,
            discarded_by_retention: false,
            unaccounted: None,
            updated_at: DUE,
            hold: 0,
            has_message: false,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn what_is_due_for_five_minutes_without_a_record_is_overdue() {
        for status in CallbackStatus::ALL {
            for next_attempt_at in [None, Some(DUE)] {
                let callback = callback(status, next_attempt_at);
                assert_eq!(callback.overdue_since(DUE + OVERDUE_MS - 1), None);
                let overdue = status.is_unfinished().then_some(DUE);
                assert_eq!(
                    callback.overdue_since(DUE + OVERDUE_MS),
                    overdue,
                    "{status}"
                );
            }
        }
        let delayed = callback(CallbackStatus::Queued, Some(DUE + 3_600_000));
        assert_eq!(delayed.overdue_since(DUE + 3_600_000), None);
    }

    #[test]
    fn only_what_a_process_holds_is_being_delivered() {
        for status in CallbackStatus::ALL {
            let due = callback(status, Some(DUE));
            assert_eq!(due.status_if(false), status, "due is not delivering");
            let held = match status {
                CallbackStatus::Queued | CallbackStatus::Retrying => CallbackStatus::Delivering,
                ended => ended,
            };
            assert_eq!(due.status_if(true), held);
            let since = status.is_unfinished().then_some(DUE);
            assert_eq!(due.due_since(DUE), since, "{status}");
            assert_eq!(due.due_since(DUE - 1), None);
        }
        let without_delay = callback(CallbackStatus::Queued, None);
        assert_eq!(without_delay.due_since(DUE), Some(DUE));
    }
}
