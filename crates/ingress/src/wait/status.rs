//! Waits for statuses in the journal, with one poll for all waiters.
//!
//! A caller that waits registers a sender under its callback's id. One task of the process asks the
//! journal for all of them together. The longer a wait lasts, the less often it asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contract::CallbackStatus;
use journal::Journal;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::deadline_or_stop;

/// The shortest time between two polls.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// The longest time between two polls for one callback.
const MAX_POLL_DELAY: Duration = Duration::from_secs(2);
/// The maximum number of ids in one query.
const MAX_POLL_IDS: usize = 500;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitFor {
    /// The end of the first attempt.
    FirstAttempt,
    /// A final status.
    Final,
}

impl WaitFor {
    const fn is_met_by(self, status: CallbackStatus) -> bool {
        match self {
            Self::FirstAttempt => !matches!(
                status,
                CallbackStatus::Queued | CallbackStatus::Delivering | CallbackStatus::Unaccounted
            ),
            Self::Final => status.is_final(),
        }
    }
}

/// Polls the journal for the waiters of this process.
#[derive(Debug)]
pub(crate) struct StatusPoller {
    watchlist: Watchlist,
    _task: AbortOnDropHandle<()>,
}

/// The callbacks with waiters. Cheap to clone.
#[derive(Clone, Debug, Default)]
struct Watchlist(Arc<WatchlistState>);

#[derive(Debug, Default)]
struct WatchlistState {
    callbacks: Mutex<HashMap<Uuid, WatchedCallback>>,
    added: Notify,
}

#[derive(Debug)]
struct WatchedCallback {
    since: Instant,
    due: Instant,
    waiters: Vec<(WaitFor, oneshot::Sender<CallbackStatus>)>,
}

/// Removes a callback from the watchlist when its last waiter is dropped.
struct WatchGuard<'a> {
    watchlist: &'a Watchlist,
    request_id: Uuid,
    status: oneshot::Receiver<CallbackStatus>,
}

impl StatusPoller {
    /// Starts polling. Call it inside a Tokio runtime.
    pub(crate) fn start(journal: Journal) -> Self {
        let watchlist = Watchlist::default();
        let task = tokio::spawn(poll(journal, watchlist.clone()));
        Self {
            watchlist,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Waits for a status. `None`: the deadline or the stop of the process came first.
    pub(crate) async fn status(
        &self,
        request_id: Uuid,
        wait_for: WaitFor,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Option<CallbackStatus> {
        let mut guard = self.watchlist.watch(request_id, wait_for, Instant::now());
        tokio::select! {
            biased;
            status = &mut guard.status => status.ok(),
            () = deadline_or_stop(deadline, stop) => None,
        }
    }
}

/// The time until the next poll for a callback, after a wait of this long.
fn poll_delay(waited: Duration) -> Duration {
    (waited / 4).clamp(POLL_INTERVAL, MAX_POLL_DELAY)
}

async fn poll(journal: Journal, watchlist: Watchlist) {
    loop {
        if watchlist.lock().is_empty() {
            watchlist.0.added.notified().await;
            continue;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
        for batch in watchlist.take_due(Instant::now()).chunks(MAX_POLL_IDS) {
            match journal.control_states(batch).await {
                Ok(states) => {
                    for (request_id, state) in states {
                        watchlist.notify(request_id, state.status);
                    }
                }
                // Polled again when due. The caller's own query reports a failure.
                Err(error) => tracing::debug!(%error, "failed to poll the journal"),
            }
        }
    }
}

impl Watchlist {
    fn watch(&self, request_id: Uuid, wait_for: WaitFor, now: Instant) -> WatchGuard<'_> {
        let (sender, status) = oneshot::channel();
        let mut callbacks = self.lock();
        let callback = callbacks
            .entry(request_id)
            .or_insert_with(|| WatchedCallback {
                since: now,
                due: now,
                waiters: Vec::new(),
            });
        // A new waiter is polled for at once, however long others have waited.
        (callback.since, callback.due) = (now, now);
        callback.waiters.push((wait_for, sender));
        drop(callbacks);
        self.0.added.notify_one();
        WatchGuard {
            watchlist: self,
            request_id,
            status,
        }
    }

    /// The callbacks to poll for now. Each is due again after its delay.
    fn take_due(&self, now: Instant) -> Vec<Uuid> {
        let mut callbacks = self.lock();
        let due = callbacks
            .iter_mut()
            .filter(|(_, callback)| callback.due <= now);
        due.map(|(request_id, callback)| {
            callback.due = now + poll_delay(now.saturating_duration_since(callback.since));
            *request_id
        })
        .collect()
    }

    /// Passes the status to the waiters that it satisfies.
    fn notify(&self, request_id: Uuid, status: CallbackStatus) {
        let mut callbacks = self.lock();
        let Some(callback) = callbacks.get_mut(&request_id) else {
            return;
        };
        let satisfied: Vec<_> = callback
            .waiters
            .extract_if(.., |(wait_for, _)| wait_for.is_met_by(status))
            .collect();
        if callback.waiters.is_empty() {
            callbacks.remove(&request_id);
        }
        drop(callbacks);
        for (_, waiter) in satisfied {
            // Fails if the waiter has just been dropped.
            let _ = waiter.send(status);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, WatchedCallback>> {
        // Nothing panics under the lock; if it did, the map would still be consistent.
        let locked = self.0.callbacks.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WatchGuard<'_> {
    fn drop(&mut self) {
        // Closed first, so that its own sender counts as closed.
        self.status.close();
        let mut callbacks = self.watchlist.lock();
        if let Some(callback) = callbacks.get_mut(&self.request_id) {
            callback.waiters.retain(|(_, waiter)| !waiter.is_closed());
            if callback.waiters.is_empty() {
                callbacks.remove(&self.request_id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_has_ended_in_every_status_but_those_that_say_nothing_of_it() {
        for status in CallbackStatus::ALL {
            let waiting = matches!(
                status,
                CallbackStatus::Queued | CallbackStatus::Delivering | CallbackStatus::Unaccounted
            );
            assert_eq!(
                WaitFor::FirstAttempt.is_met_by(status),
                !waiting,
                "{status}"
            );
            assert_eq!(
                WaitFor::Final.is_met_by(status),
                status.is_final(),
                "{status}"
            );
        }
    }

    #[test]
    fn the_journal_is_polled_less_often_the_longer_a_wait_lasts() {
        for (waited, expected) in [(0, 200), (800, 200), (2_000, 500), (60_000, 2_000)] {
            let waited = Duration::from_millis(waited);
            assert_eq!(
                poll_delay(waited),
                Duration::from_millis(expected),
                "{waited:?}"
            );
        }
    }

    #[test]
    fn a_callback_is_due_at_once_then_after_its_delay_and_at_once_for_a_new_waiter() {
        let (watchlist, now, id) = (Watchlist::default(), Instant::now(), Uuid::now_v7());
        let _first = watchlist.watch(id, WaitFor::Final, now);
        assert_eq!(watchlist.take_due(now), [id]);
        assert!(watchlist.take_due(now + POLL_INTERVAL / 2).is_empty());
        assert_eq!(watchlist.take_due(now + POLL_INTERVAL), [id]);
        let _second = watchlist.watch(id, WaitFor::Final, now + POLL_INTERVAL);
        assert_eq!(watchlist.take_due(now + POLL_INTERVAL), [id]);
    }

    #[test]
    fn each_waiter_gets_the_status_it_waits_for_and_leaves_nothing_behind() {
        let (watchlist, now, id) = (Watchlist::default(), Instant::now(), Uuid::now_v7());
        let mut tried = watchlist.watch(id, WaitFor::FirstAttempt, now);
        let mut ended = watchlist.watch(id, WaitFor::Final, now);
        let dropped = watchlist.watch(id, WaitFor::Final, now);
        watchlist.notify(id, CallbackStatus::Queued);
        assert!(tried.status.try_recv().is_err());
        watchlist.notify(id, CallbackStatus::Retrying);
        assert_eq!(tried.status.try_recv(), Ok(CallbackStatus::Retrying));
        assert!(ended.status.try_recv().is_err());
        drop(dropped);
        assert_eq!(watchlist.lock()[&id].waiters.len(), 1);
        watchlist.notify(id, CallbackStatus::Delivered);
        assert_eq!(ended.status.try_recv(), Ok(CallbackStatus::Delivered));
        assert!(watchlist.lock().is_empty());

        let waiters: Vec<_> = (0..1_000)
            .map(|_| watchlist.watch(Uuid::now_v7(), WaitFor::Final, now))
            .collect();
        assert_eq!(watchlist.lock().len(), 1_000);
        drop(waiters);
        assert!(watchlist.lock().is_empty());
    }
}
