//! The cheapest target: gives every request the same answer, counts, and measures how long each callback
//! took to arrive.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tests::targets::ReservedAddress;
use tests::{ScriptedReply, TestTarget};

use super::due_time;
use super::figures::Times;

/// Targets on free ports of 127.0.0.1, until dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    /// The address of the first one.
    pub(crate) address: SocketAddr,
    /// The addresses of all of them.
    pub(crate) addresses: Vec<SocketAddr>,
    seen: Arc<Seen>,
    _targets: Vec<TestTarget>,
}

#[derive(Debug, Default)]
struct Seen {
    count: AtomicU64,
    /// From each callback's due time until it arrived.
    latencies: Mutex<Times>,
}

impl Sink {
    /// Starts one.
    ///
    /// # Panics
    /// When it cannot listen.
    pub(crate) fn start() -> Self {
        Self::many(1, Duration::ZERO)
    }

    /// Starts `count` of them; each answers after `delay`.
    ///
    /// # Panics
    /// When one cannot listen.
    pub(crate) fn many(count: usize, delay: Duration) -> Self {
        Self::answering(vec![ScriptedReply::status(204).after(delay); count])
    }

    /// Starts one for each of these answers.
    ///
    /// # Panics
    /// When one cannot listen.
    pub(crate) fn answering(replies: Vec<ScriptedReply>) -> Self {
        let seen = Arc::<Seen>::default();
        let start = |reply| {
            let seen = seen.clone();
            ReservedAddress::new().open_observed(reply, move |request| seen.request(request))
        };
        let targets: Vec<TestTarget> = replies.into_iter().map(start).collect();
        let addresses: Vec<_> = targets.iter().map(TestTarget::address).collect();
        Self {
            address: addresses[0],
            addresses,
            seen,
            _targets: targets,
        }
    }

    /// How many complete requests came in.
    pub(crate) fn count(&self) -> u64 {
        self.seen.count.load(Ordering::Relaxed)
    }

    /// The latencies of callbacks with a due time that came in since the last call.
    pub(crate) fn take_latencies(&self) -> Times {
        let lock = self.seen.latencies.lock();
        std::mem::take(&mut *lock.unwrap_or_else(PoisonError::into_inner))
    }
}

impl Seen {
    fn request(&self, request: &[u8]) {
        if let Some(latency) = due_time::age(request) {
            let lock = self.latencies.lock();
            lock.unwrap_or_else(PoisonError::into_inner).record(latency);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}
