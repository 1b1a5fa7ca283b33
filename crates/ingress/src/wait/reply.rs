//! Waits for the dispatchers' replies about first attempts.
//!
//! A caller that waits registers a sender under its callback's id. One task of the process reads the
//! replies and passes each to its waiter. A reply is best effort: without one the wait ends at its
//! deadline, and nothing else depends on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use broker::{Broker, Replies};
use contract::{Reply, ReplyCode};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::deadline_or_stop;

/// How long a request waits for a reply address after a lost connection. Without an address no
/// reply can arrive.
const ADDRESS_TIMEOUT: Duration = Duration::from_millis(500);

/// Receives replies for the callers that wait in this process.
#[derive(Debug)]
pub(crate) struct ReplyListener {
    waiters: Waiters,
    address: watch::Receiver<Option<String>>,
    _task: AbortOnDropHandle<()>,
}

/// The waiters of this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
struct Waiters(Arc<Mutex<WaiterMap>>);

#[derive(Debug, Default)]
struct WaiterMap {
    by_id: HashMap<Uuid, (u64, oneshot::Sender<ReplyCode>)>,
    /// The number of the next waiter. A later waiter for the same id replaces an earlier one, and
    /// must survive the drop of the earlier one.
    next_number: u64,
}

/// A wait for one reply. Dropping it ends the wait.
#[derive(Debug)]
pub(crate) struct ReplyWaiter {
    request_id: Uuid,
    number: u64,
    reply: oneshot::Receiver<ReplyCode>,
    waiters: Waiters,
}

impl ReplyListener {
    /// Starts listening. Call it inside a Tokio runtime.
    pub(crate) fn start(broker: &Broker) -> Self {
        let replies = broker.replies();
        let (waiters, address) = (Waiters::default(), replies.address());
        let task = tokio::spawn(run(replies, waiters.clone()));
        Self {
            waiters,
            address,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Starts a wait for the reply about a callback, and returns the address to reply to. Without
    /// an address no reply will come, and the wait ends at its deadline.
    pub(crate) async fn register(
        &self,
        request_id: Uuid,
        deadline: Instant,
    ) -> (ReplyWaiter, Option<String>) {
        let waiter = self.waiters.register(request_id);
        let mut address = self.address.clone();
        let deadline = deadline.min(Instant::now() + ADDRESS_TIMEOUT);
        let known = timeout_at(deadline, address.wait_for(Option::is_some)).await;
        let address = known.ok().and_then(Result::ok);
        (waiter, address.and_then(|address| address.clone()))
    }
}

#[cfg(test)]
impl ReplyListener {
    pub(crate) fn waiting(&self) -> usize {
        self.waiters.count()
    }
}

async fn run(mut replies: Replies, waiters: Waiters) {
    loop {
        // An unreadable reply is treated as a lost one.
        if let Some(reply) = Reply::decode(&replies.next().await) {
            waiters.notify(reply);
        }
    }
}

impl Waiters {
    fn register(&self, request_id: Uuid) -> ReplyWaiter {
        let (sender, reply) = oneshot::channel();
        let mut map = self.lock();
        let number = map.next_number;
        map.next_number += 1;
        map.by_id.insert(request_id, (number, sender));
        drop(map);
        ReplyWaiter {
            request_id,
            number,
            reply,
            waiters: self.clone(),
        }
    }

    fn notify(&self, reply: Reply) {
        let waiter = self.lock().by_id.remove(&reply.request_id);
        if let Some((_, sender)) = waiter {
            // Fails if the waiter has just been dropped.
            let _ = sender.send(reply.code);
        }
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    fn lock(&self) -> MutexGuard<'_, WaiterMap> {
        // Nothing panics under the lock; if it did, the map would still be consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplyWaiter {
    /// The outcome of the first attempt. `None`: the deadline or the stop of the process came first.
    pub(crate) async fn outcome(
        mut self,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Option<ReplyCode> {
        tokio::select! {
            biased;
            reply = &mut self.reply => match reply {
                Ok(code) => Some(code),
                Err(_) => {
                    // A later waiter replaced this one. The caller still waits until its deadline.
                    deadline_or_stop(deadline, stop).await;
                    None
                }
            },
            () = deadline_or_stop(deadline, stop) => None,
        }
    }
}

impl Drop for ReplyWaiter {
    fn drop(&mut self) {
        let mut map = self.waiters.lock();
        let current = map.by_id.get(&self.request_id);
        if current.is_some_and(|(number, _)| *number == self.number) {
            map.by_id.remove(&self.request_id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn reply(request_id: Uuid) -> Reply {
        Reply {
            request_id,
            code: ReplyCode::Delivered,
        }
    }

    #[tokio::test]
    async fn a_reply_reaches_its_waiter_even_when_it_arrives_first() {
        let (waiters, stop) = (Waiters::default(), CancellationToken::new());
        let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
        let waiter = waiters.register(mine);
        waiters.notify(reply(other));
        waiters.notify(reply(mine));
        let outcome = waiter.outcome(Instant::now() + LONG, &stop).await;
        assert_eq!(outcome, Some(ReplyCode::Delivered));
        assert_eq!(waiters.count(), 0);
    }

    #[tokio::test]
    async fn expired_and_dropped_waits_leave_nothing_behind() {
        let (waiters, stop) = (Waiters::default(), CancellationToken::new());
        let soon = Instant::now() + Duration::from_millis(50);
        let waiter = waiters.register(Uuid::now_v7());
        assert_eq!(waiter.outcome(soon, &stop).await, None);
        assert_eq!(waiters.count(), 0);

        let gone: Vec<_> = (0..1_000)
            .map(|_| waiters.register(Uuid::now_v7()))
            .collect();
        assert_eq!(waiters.count(), 1_000);
        drop(gone);
        assert_eq!(waiters.count(), 0);
    }

    #[tokio::test]
    async fn a_stop_ends_every_wait() {
        let (waiters, stop) = (Waiters::default(), CancellationToken::new());
        let waiter = waiters.register(Uuid::now_v7());
        stop.cancel();
        assert_eq!(waiter.outcome(Instant::now() + LONG, &stop).await, None);
    }

    #[tokio::test]
    async fn of_two_waiters_for_one_id_the_later_one_gets_the_reply() {
        let (waiters, stop) = (Waiters::default(), CancellationToken::new());
        let id = Uuid::now_v7();
        let (earlier, later) = (waiters.register(id), waiters.register(id));
        let soon = Instant::now() + Duration::from_millis(50);
        assert_eq!(earlier.outcome(soon, &stop).await, None);
        assert!(Instant::now() >= soon);
        assert_eq!(waiters.count(), 1);
        waiters.notify(reply(id));
        let outcome = later.outcome(Instant::now() + LONG, &stop).await;
        assert_eq!(outcome, Some(ReplyCode::Delivered));
    }
}
