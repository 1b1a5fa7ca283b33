//! The turns of callbacks under a limit, in the order in which they are asked for.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

/// How many callbacks wait for their turn. Beyond, they miss it at once.
const MAX_WAITING: usize = 4_096;

/// The turns of callbacks. Without a limit each has its turn at once.
#[derive(Debug)]
pub(super) struct Turns {
    limited: AtomicBool,
    granted: Semaphore,
    waiting: AtomicUsize,
    /// How many callbacks were published to `first`.
    published: AtomicU64,
}

/// A callback that waits for its turn.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a callback got its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Without a wait.
    AtOnce,
    /// After a wait.
    Waited,
    /// It did not come in time.
    Missed,
}

impl Turns {
    pub(super) const fn new() -> Self {
        Self {
            limited: AtomicBool::new(false),
            granted: Semaphore::const_new(0),
            waiting: AtomicUsize::new(0),
            published: AtomicU64::new(0),
        }
    }

    /// The next turn; in the order of the calls.
    pub(super) async fn take(&self, max_wait: Duration) -> Turn {
        if !self.limited.load(Ordering::Relaxed) {
            return Turn::AtOnce;
        }
        if let Ok(granted) = self.granted.try_acquire() {
            granted.forget();
            return Turn::AtOnce;
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Turn::Missed;
        }
        let _waiting = Waiting(&self.waiting);
        // Boxed, so that requests that do not wait take no memory for it.
        let granted = Box::pin(tokio::time::timeout(max_wait, self.granted.acquire()));
        match granted.await {
            Ok(Ok(granted)) => {
                granted.forget();
                Turn::Waited
            }
            // It ended while this one waited.
            Ok(Err(_)) | Err(_) if !self.limited.load(Ordering::Relaxed) => Turn::Waited,
            Ok(Err(_)) | Err(_) => Turn::Missed,
        }
    }

    /// Begins a limit, with no turn left over from an earlier one.
    pub(super) fn begin(&self) {
        self.granted.forget_permits(Semaphore::MAX_PERMITS);
        self.limited.store(true, Ordering::Relaxed);
    }

    /// Ends the limit: all that wait go on.
    pub(super) fn end(&self) {
        self.limited.store(false, Ordering::Relaxed);
        self.granted.add_permits(self.waiting());
    }

    /// Grants these turns; of those that nobody takes, `burst` are kept.
    pub(super) fn grant(&self, turns: usize, burst: usize) {
        let room = burst.saturating_sub(self.granted.available_permits());
        self.granted
            .add_permits(turns.min(room.max(self.waiting())));
    }

    /// A callback was published to `first`.
    pub(super) fn one_published(&self) {
        self.published.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were.
    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// How many callbacks wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn without_a_limit_nothing_waits() {
        let turns = Turns::new();
        assert_eq!(turns.take(LONG).await, Turn::AtOnce);
    }

    #[tokio::test]
    async fn turns_are_taken_in_order_and_what_gets_none_is_missed() {
        let turns = Arc::new(Turns::new());
        turns.begin();
        let task = |turns: &Arc<Turns>, wait| {
            let turns = Arc::clone(turns);
            tokio::spawn(async move { turns.take(wait).await })
        };
        let first = task(&turns, LONG);
        tokio::task::yield_now().await;
        let second = task(&turns, Duration::from_millis(20));
        tokio::task::yield_now().await;
        assert_eq!(turns.waiting(), 2);
        turns.grant(1, 1);
        assert_eq!(first.await.unwrap(), Turn::Waited);
        assert_eq!(second.await.unwrap(), Turn::Missed);
        assert_eq!(turns.waiting(), 0);
    }

    #[tokio::test]
    async fn turns_that_nobody_takes_are_kept_up_to_a_burst_and_not_for_the_next_limit() {
        let turns = Turns::new();
        turns.begin();
        turns.grant(10, 2);
        turns.grant(10, 2);
        for turn in [Turn::AtOnce, Turn::AtOnce, Turn::Missed] {
            assert_eq!(turns.take(Duration::from_millis(1)).await, turn);
        }
        turns.grant(2, 2);
        turns.end();
        turns.begin();
        assert_eq!(turns.take(Duration::from_millis(1)).await, Turn::Missed);
    }

    #[tokio::test]
    async fn at_the_end_of_a_limit_all_that_wait_go_on() {
        let turns = Arc::new(Turns::new());
        turns.begin();
        let takes: Vec<_> = (0..3)
            .map(|_| {
                let turns = Arc::clone(&turns);
                tokio::spawn(async move { turns.take(LONG).await })
            })
            .collect();
        tokio::task::yield_now().await;
        turns.end();
        for take in takes {
            assert_eq!(take.await.unwrap(), Turn::Waited);
        }
    }

    #[tokio::test]
    async fn a_bounded_number_waits() {
        let turns = Arc::new(Turns::new());
        turns.begin();
        for _ in 0..MAX_WAITING {
            let turns = Arc::clone(&turns);
            tokio::spawn(async move { turns.take(LONG).await });
        }
        while turns.waiting() < MAX_WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(turns.take(LONG).await, Turn::Missed, "at once");
    }
}
