//! Whether the worker threads of the listeners still run tasks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How often a worker shows that it runs.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// The heartbeats of a process's worker threads. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Heartbeats(Arc<Beats>);

#[derive(Debug)]
struct Beats {
    since: Instant,
    /// When each worker was last seen to run, in ms. A worker that has ended is gone.
    workers: Mutex<Vec<Weak<AtomicU64>>>,
}

impl Default for Heartbeats {
    fn default() -> Self {
        Self(Arc::new(Beats {
            since: Instant::now(),
            workers: Mutex::default(),
        }))
    }
}

impl Heartbeats {
    /// Adds a worker, and returns the task that it must run for as long as it lives.
    pub(crate) fn join(&self) -> impl Future<Output = ()> + use<> {
        let beats = Arc::clone(&self.0);
        let last = Arc::new(AtomicU64::new(beats.now()));
        let mut workers = beats.workers.lock().unwrap_or_else(PoisonError::into_inner);
        workers.push(Arc::downgrade(&last));
        drop(workers);
        async move {
            loop {
                tokio::time::sleep(BEAT_INTERVAL).await;
                last.store(beats.now(), Ordering::Relaxed);
            }
        }
    }

    /// Whether every worker has run within this time.
    pub(super) fn all_within(&self, time: Duration) -> bool {
        let now = self.0.now();
        let oldest = now.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let mut workers = self
            .0
            .workers
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        workers.retain(|worker| worker.strong_count() > 0);
        let mut last = workers.iter().filter_map(Weak::upgrade);
        last.all(|last| last.load(Ordering::Relaxed) >= oldest)
    }
}

impl Beats {
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_runs_no_tasks_is_noticed_and_one_that_has_ended_is_not() {
        let heartbeats = Heartbeats::default();
        let running = tokio::spawn(heartbeats.join());
        let hung = heartbeats.join();
        tokio::time::sleep(2 * BEAT_INTERVAL).await;
        assert!(heartbeats.all_within(10 * BEAT_INTERVAL));
        assert!(!heartbeats.all_within(BEAT_INTERVAL + BEAT_INTERVAL / 2));
        drop(hung);
        assert!(heartbeats.all_within(BEAT_INTERVAL + BEAT_INTERVAL / 2));
        running.abort();
        let _ = running.await;
        assert!(heartbeats.all_within(Duration::ZERO));
    }
}
