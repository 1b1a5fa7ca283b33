//! Asks the other processes whether one of them holds a callback now, so that a caller is told
//! `delivering` of what is being delivered alone.
//!
//! It is asked for what has been due for a while without a record: a first attempt at a slow target.
//! Requests for the same callback share one question, and there are at most 50 in a second.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::Callback;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use uuid::Uuid;

/// What has been due for less is not asked for: its record may be on its way.
const DUE_FOR_MS: u64 = 1_000;

/// The questions of a second. Further callers hear the status that is recorded.
const MAX_PER_SECOND: u32 = 50;

/// Whether a process is known to hold the callback. `false`: none says so.
pub type IsHeld = Arc<dyn Fn(Uuid) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// Asks for holders, within bounds.
pub(crate) struct HolderLookup {
    ask: IsHeld,
    state: Mutex<State>,
}

struct State {
    /// Questions in progress, by callback. Bounded by [`MAX_PER_SECOND`] and their deadline.
    asking: HashMap<Uuid, Arc<OnceCell<bool>>>,
    /// When the second began in which questions are counted, and how many there were.
    second: (Instant, u32),
}

impl HolderLookup {
    pub(crate) fn new(ask: IsHeld) -> Self {
        Self {
            ask,
            state: Mutex::new(State {
                asking: HashMap::new(),
                second: (Instant::now(), 0),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a process is known to hold the callback at `now`, Unix ms.
    pub(crate) async fn is_held(&self, callback: &Callback, now: u64) -> bool {
        let due = callback.due_since(now.saturating_sub(DUE_FOR_MS));
        if due.is_none() {
            return false;
        }
        let id = callback.origin.request_id;
        let Some(question) = self.question(id, Instant::now()) else {
            return false;
        };
        let _asking = AskingGuard {
            lookup: self,
            id,
            question: &question,
        };
        *question.get_or_init(|| (self.ask)(id)).await
    }

    /// The question about this callback: that of another request, or a new one. `None`: there were
    /// too many.
    fn question(&self, id: Uuid, now: Instant) -> Option<Arc<OnceCell<bool>>> {
        let mut state = self.state();
        if let Some(question) = state.asking.get(&id) {
            return Some(Arc::clone(question));
        }
        if now.duration_since(state.second.0) >= Duration::from_secs(1) {
            state.second = (now, 0);
        }
        if state.second.1 == MAX_PER_SECOND {
            return None;
        }
        state.second.1 += 1;
        let question = Arc::<OnceCell<bool>>::default();
        state.asking.insert(id, Arc::clone(&question));
        Some(question)
    }
}

/// A question, until it is answered or its last request is dropped.
struct AskingGuard<'a> {
    lookup: &'a HolderLookup,
    id: Uuid,
    question: &'a Arc<OnceCell<bool>>,
}

impl Drop for AskingGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.lookup.state();
        let is_this = |known: &Arc<OnceCell<bool>>| Arc::ptr_eq(known, self.question);
        // One for this request and one for the map: nobody else waits for it.
        let is_last = Arc::strong_count(self.question) <= 2;
        if (is_last || self.question.initialized())
            && state.asking.get(&self.id).is_some_and(is_this)
        {
            state.asking.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use contract::CallbackStatus;
    use futures_util::FutureExt as _;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::report::tests::callback;

    /// A lookup whose questions are counted, and answered while there are permits.
    fn lookup() -> (HolderLookup, Arc<AtomicU32>, Arc<Semaphore>) {
        let (asked, permits) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, answering) = (Arc::clone(&asked), Arc::clone(&permits));
        let ask: IsHeld = Arc::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            let answering = Arc::clone(&answering);
            Box::pin(async move { answering.acquire().await.is_ok() })
        });
        (HolderLookup::new(ask), asked, permits)
    }

    #[tokio::test]
    async fn only_what_has_been_due_for_a_second_is_asked_for() {
        let (lookup, asked, permits) = lookup();
        permits.add_permits(1);
        // Due at 5,000.
        let waiting = callback(CallbackStatus::Retrying);
        assert!(!lookup.is_held(&waiting, 5_999).await);
        assert!(!lookup.is_held(&callback(CallbackStatus::Dead), 9_000).await);
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        assert!(lookup.is_held(&waiting, 6_000).await);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(lookup.state().asking.is_empty());
    }

    #[tokio::test]
    async fn requests_for_one_callback_share_a_question_and_one_that_leaves_ends_none() {
        let (lookup, asked, permits) = lookup();
        let one = callback(CallbackStatus::Queued);
        let left = lookup.is_held(&one, 9_000).now_or_never();
        assert_eq!(left, None);
        let both = async { tokio::join!(lookup.is_held(&one, 9_000), lookup.is_held(&one, 9_000)) };
        let answering = async {
            tokio::task::yield_now().await;
            assert_eq!(lookup.state().asking.len(), 1);
            permits.add_permits(1);
        };
        let (both, ()) = tokio::join!(both, answering);
        assert_eq!(both, (true, true));
        assert_eq!(
            asked.load(Ordering::Relaxed),
            2,
            "the one that left asked first"
        );
        assert!(lookup.state().asking.is_empty());
    }

    #[tokio::test]
    async fn a_flood_of_queries_asks_a_bounded_number_of_questions() {
        let (lookup, asked, permits) = lookup();
        permits.add_permits(1);
        let start = Instant::now();
        for _ in 0..500 {
            // Its id is new each time.
            lookup
                .is_held(&callback(CallbackStatus::Queued), 9_000)
                .await;
        }
        let seconds = u32::try_from(start.elapsed().as_secs()).unwrap() + 1;
        assert!(asked.load(Ordering::Relaxed) <= MAX_PER_SECOND * seconds);
    }
}
