//! How do thousands wait for news in the journal without asking it thousands of times?
//!
//! Whoever waits leaves a sender under the callback's id. One task of the process asks the journal
//! for all of them together, each the more rarely the longer it has been waited for.

use crate::waiting::until_end;
use journal::{Journal, Status};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// The journal is asked at most this often.
const BEAT: Duration = Duration::from_millis(200);
/// Nobody hears of news later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// So many callbacks are asked for at once.
const BATCH: usize = 500;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The first attempt has ended.
    Tried,
    /// Nothing more will happen by itself.
    Final,
}

impl Goal {
    /// Whether a status is what was waited for.
    pub(crate) const fn is_met(self, status: Status) -> bool {
        match self {
            Self::Tried => !matches!(status, Status::Queued | Status::Delivering),
            Self::Final => status.is_final(),
        }
    }
}

/// All who wait for news in this process, and the task that asks for them.
#[derive(Debug)]
pub(crate) struct Watching {
    watched: Watched,
    _asking: AbortOnDropHandle<()>,
}

#[derive(Clone, Debug, Default)]
struct Watched(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    callbacks: Mutex<HashMap<Uuid, Callback>>,
    somebody: Notify,
}

/// A callback that somebody waits for.
#[derive(Debug)]
struct Callback {
    since: Instant,
    due: Instant,
    waiters: Vec<(Goal, oneshot::Sender<Status>)>,
}

/// Takes a waiter's callback away when the waiter was its last.
struct Leave<'a> {
    watched: &'a Watched,
    request_id: Uuid,
    news: oneshot::Receiver<Status>,
}

impl Watching {
    /// Begins to watch. Runs within a tokio runtime.
    pub(crate) fn start(journal: Journal) -> Self {
        let watched = Watched::default();
        let asking = tokio::spawn(ask(journal, watched.clone()));
        Self {
            watched,
            _asking: AbortOnDropHandle::new(asking),
        }
    }

    /// The status that met the goal; `None` when there was none by `until`, or the process stops.
    pub(crate) async fn status(
        &self,
        request_id: Uuid,
        goal: Goal,
        until: Instant,
        stop: &CancellationToken,
    ) -> Option<Status> {
        let mut waiter = self.watched.enter(request_id, goal, Instant::now());
        tokio::select! {
            biased;
            status = &mut waiter.news => status.ok(),
            () = until_end(until, stop) => None,
        }
    }
}

/// The pause before the journal is asked again for what was waited for so long.
fn pause(waited: Duration) -> Duration {
    (waited / 4).clamp(BEAT, LONGEST_PAUSE)
}

/// Asks for as long as somebody waits.
async fn ask(journal: Journal, watched: Watched) {
    loop {
        if watched.lock().is_empty() {
            watched.0.somebody.notified().await;
            continue;
        }
        tokio::time::sleep(BEAT).await;
        for batch in watched.due(Instant::now()).chunks(BATCH) {
            match journal.fates(batch).await {
                Ok(fates) => {
                    for (request_id, fate) in fates {
                        watched.tell(request_id, fate.status);
                    }
                }
                // Asked again when due; who waits in vain learns of it from its own question.
                Err(error) => tracing::debug!(%error, "the journal cannot be watched"),
            }
        }
    }
}

impl Watched {
    fn enter(&self, request_id: Uuid, goal: Goal, now: Instant) -> Leave<'_> {
        let (sender, news) = oneshot::channel();
        let fresh = || Callback {
            since: now,
            due: now,
            waiters: Vec::new(),
        };
        let mut callbacks = self.lock();
        let callback = callbacks.entry(request_id).or_insert_with(fresh);
        // A new waiter is impatient, however long others have waited.
        (callback.since, callback.due) = (now, now);
        callback.waiters.push((goal, sender));
        drop(callbacks);
        self.0.somebody.notify_one();
        Leave {
            watched: self,
            request_id,
            news,
        }
    }

    /// The callbacks to ask for now; they are due again after their pause.
    fn due(&self, now: Instant) -> Vec<Uuid> {
        let mut callbacks = self.lock();
        let due = callbacks.iter_mut().filter(|(_, it)| it.due <= now);
        due.map(|(request_id, callback)| {
            callback.due = now + pause(now.saturating_duration_since(callback.since));
            *request_id
        })
        .collect()
    }

    /// Tells the status to those whose goal it meets.
    fn tell(&self, request_id: Uuid, status: Status) {
        let mut callbacks = self.lock();
        let Some(callback) = callbacks.get_mut(&request_id) else {
            return;
        };
        let met: Vec<_> = callback
            .waiters
            .extract_if(.., |(goal, _)| goal.is_met(status))
            .collect();
        if callback.waiters.is_empty() {
            callbacks.remove(&request_id);
        }
        drop(callbacks);
        for (_, waiter) in met {
            // An error means that the waiter has just gone.
            let _ = waiter.send(status);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Callback>> {
        // Nothing panics under the lock; if it did, the map would still be whole.
        let locked = self.0.callbacks.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        // Closed first, so that its own sender counts as gone.
        self.news.close();
        let mut callbacks = self.watched.lock();
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
    fn an_attempt_that_ended_is_any_status_but_the_first_ones() {
        for status in Status::ALL {
            let waits = matches!(status, Status::Queued | Status::Delivering);
            assert_eq!(Goal::Tried.is_met(status), !waits, "{status}");
            assert_eq!(Goal::Final.is_met(status), status.is_final(), "{status}");
        }
    }

    #[test]
    fn the_journal_is_asked_the_more_rarely_the_longer_somebody_waits() {
        for (waited, expected) in [(0, 200), (800, 200), (2_000, 500), (60_000, 2_000)] {
            let waited = Duration::from_millis(waited);
            assert_eq!(pause(waited), Duration::from_millis(expected), "{waited:?}");
        }
    }

    #[test]
    fn a_callback_is_due_at_once_then_after_its_pause_and_at_once_for_a_new_waiter() {
        let (watched, now, id) = (Watched::default(), Instant::now(), Uuid::now_v7());
        let _first = watched.enter(id, Goal::Final, now);
        assert_eq!(watched.due(now), [id]);
        assert!(watched.due(now + BEAT / 2).is_empty());
        assert_eq!(watched.due(now + BEAT), [id]);
        let _second = watched.enter(id, Goal::Final, now + BEAT);
        assert_eq!(watched.due(now + BEAT), [id]);
    }

    #[test]
    fn each_waiter_hears_what_it_waits_for_and_who_goes_leaves_nothing_behind() {
        let (watched, now, id) = (Watched::default(), Instant::now(), Uuid::now_v7());
        let mut tried = watched.enter(id, Goal::Tried, now);
        let mut ended = watched.enter(id, Goal::Final, now);
        let gone = watched.enter(id, Goal::Final, now);
        watched.tell(id, Status::Queued);
        assert!(tried.news.try_recv().is_err());
        watched.tell(id, Status::Retrying);
        assert_eq!(tried.news.try_recv(), Ok(Status::Retrying));
        assert!(ended.news.try_recv().is_err());
        drop(gone);
        assert_eq!(watched.lock()[&id].waiters.len(), 1);
        watched.tell(id, Status::Delivered);
        assert_eq!(ended.news.try_recv(), Ok(Status::Delivered));
        assert!(watched.lock().is_empty());

        let waiters: Vec<_> = (0..1_000)
            .map(|_| watched.enter(Uuid::now_v7(), Goal::Final, now))
            .collect();
        assert_eq!(watched.lock().len(), 1_000);
        drop(waiters);
        assert!(watched.lock().is_empty());
    }
}
