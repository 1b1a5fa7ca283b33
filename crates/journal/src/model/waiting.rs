//! What is unfinished for one callee or target, and in which state what is unfinished is.

use std::collections::BTreeMap;

use contract::CallbackStatus;

/// Whose callbacks are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WaitingDestination {
    /// A registered callee, by its number.
    Callee(String),
    /// Callbacks without a callee, by their target: `https://host:443`.
    Target(String),
}

/// The unfinished callbacks of one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many there are, at most the limit that was given: then there may be more.
    pub count: u64,
    /// When the oldest of them was accepted, Unix ms.
    pub oldest_accepted_at: Option<u64>,
    /// The first recorded time of a next attempt, Unix ms. `None`: none is recorded, or not all were
    /// read.
    pub next_attempt_at: Option<u64>,
}

/// How many unfinished callbacks are in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnfinishedStates {
    /// Due: ready in a queue, or being attempted.
    pub due: u64,
    /// Not due yet, and not attempted yet.
    pub delayed: u64,
    /// Whose last attempt failed, and whose next one is not due yet.
    pub retrying: u64,
    /// Deferred and not due yet, by reason.
    pub deferred: BTreeMap<String, u64>,
}

impl UnfinishedStates {
    /// Adds callbacks with this status; `later`: their next attempt is not due yet.
    pub(crate) fn add(
        &mut self,
        status: CallbackStatus,
        later: bool,
        deferred_reason: Option<String>,
        count: u64,
    ) {
        let sum = match (later, deferred_reason, status) {
            (false, ..) => &mut self.due,
            (true, Some(reason), _) => self.deferred.entry(reason).or_default(),
            (true, None, CallbackStatus::Retrying | CallbackStatus::Delivering) => {
                &mut self.retrying
            }
            (true, None, _) => &mut self.delayed,
        };
        *sum = sum.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_counts_as_due_whatever_it_waited_for() {
        let mut states = UnfinishedStates::default();
        let busy = || Some("in_flight".to_owned());
        states.add(CallbackStatus::Queued, false, None, 1);
        states.add(CallbackStatus::Retrying, false, busy(), 2);
        states.add(CallbackStatus::Queued, true, None, 4);
        states.add(CallbackStatus::Retrying, true, None, 8);
        states.add(CallbackStatus::Queued, true, busy(), 16);
        states.add(CallbackStatus::Retrying, true, busy(), 32);
        let expected = UnfinishedStates {
            due: 3,
            delayed: 4,
            retrying: 8,
            deferred: BTreeMap::from([("in_flight".to_owned(), 48)]),
        };
        assert_eq!(states, expected);
    }
}
