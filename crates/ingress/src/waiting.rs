//! How does a caller who waits hear how the first attempt ended?
//!
//! Whoever waits leaves a sender under the callback's id; one task of the process reads the replies
//! of the dispatchers and hands each to its waiter. A reply is a courtesy: where none comes, the
//! waiter's time runs out and nothing else is changed by it.

use broker::{Broker, Replies};
use contract::{Reply, ReplyCode};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// After a lost connection there is a new address to reply to within this time, or else the caller
/// waits without one.
const ADDRESS_WITHIN: Duration = Duration::from_millis(500);

/// Where replies come in, and those who wait for them.
#[derive(Debug)]
pub(crate) struct Listening {
    waiting: Waiting,
    address: watch::Receiver<Option<String>>,
    _hearing: AbortOnDropHandle<()>,
}

/// All who wait in this process. Cheap to clone.
#[derive(Clone, Debug, Default)]
struct Waiting(Arc<Mutex<Waiters>>);

#[derive(Debug, Default)]
struct Waiters {
    by_id: HashMap<Uuid, (u64, oneshot::Sender<ReplyCode>)>,
    /// The next waiter's number. A later waiter for the same id takes the place of an earlier one,
    /// whose end must not take the later one away.
    number: u64,
}

/// One who waits. Dropping it ends the waiting: nothing of it is left.
#[derive(Debug)]
pub(crate) struct Waiter {
    request_id: Uuid,
    number: u64,
    told: oneshot::Receiver<ReplyCode>,
    waiting: Waiting,
}

impl Listening {
    /// Begins to listen. Runs within a tokio runtime.
    pub(crate) fn start(broker: &Broker) -> Self {
        let replies = broker.replies();
        let (waiting, address) = (Waiting::default(), replies.address());
        let hearing = tokio::spawn(hear(replies, waiting.clone()));
        Self {
            waiting,
            address,
            _hearing: AbortOnDropHandle::new(hearing),
        }
    }

    /// Begins to wait for the reply about a callback, and says where to reply to. Without an address
    /// no reply will come, and the waiter's time just runs out.
    pub(crate) async fn enter(&self, request_id: Uuid, until: Instant) -> (Waiter, Option<String>) {
        let waiter = self.waiting.enter(request_id);
        let mut address = self.address.clone();
        let patience = until.min(Instant::now() + ADDRESS_WITHIN);
        let known = timeout_at(patience, address.wait_for(Option::is_some)).await;
        let address = known.ok().and_then(Result::ok).and_then(|it| it.clone());
        (waiter, address)
    }
}

#[cfg(test)]
impl Listening {
    /// How many wait.
    pub(crate) fn count(&self) -> usize {
        self.waiting.count()
    }
}

async fn hear(mut replies: Replies, waiting: Waiting) {
    loop {
        // What cannot be read is worth no more than what was lost.
        if let Some(reply) = Reply::decode(&replies.next().await) {
            waiting.tell(reply);
        }
    }
}

impl Waiting {
    /// Begins to wait. To be done before the publish: the reply may be faster than the confirm.
    fn enter(&self, request_id: Uuid) -> Waiter {
        let (sender, told) = oneshot::channel();
        let mut waiters = self.lock();
        let number = waiters.number;
        waiters.number += 1;
        waiters.by_id.insert(request_id, (number, sender));
        drop(waiters);
        Waiter {
            request_id,
            number,
            told,
            waiting: self.clone(),
        }
    }

    /// Hands a reply to whoever waits for it, if anybody still does.
    fn tell(&self, reply: Reply) {
        let waiter = self.lock().by_id.remove(&reply.request_id);
        if let Some((_, sender)) = waiter {
            // An error means that the waiter has just gone.
            let _ = sender.send(reply.code);
        }
    }

    /// How many wait.
    #[cfg(test)]
    fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Nothing panics under the lock; if it did, the map would still be whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// How the first attempt ended; `None` when nothing was heard by `until`, or the process stops.
    pub(crate) async fn outcome(
        mut self,
        until: Instant,
        stop: &CancellationToken,
    ) -> Option<ReplyCode> {
        tokio::select! {
            biased;
            told = &mut self.told => match told {
                Ok(code) => Some(code),
                Err(_) => {
                    // Another waiter took the place: time still has to pass as it was asked for.
                    until_end(until, stop).await;
                    None
                }
            },
            () = until_end(until, stop) => None,
        }
    }
}

/// Passes at `until`, or at once when the process stops.
pub(crate) async fn until_end(until: Instant, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep_until(until) => {}
        () = stop.cancelled() => {}
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut waiters = self.waiting.lock();
        let own = waiters.by_id.get(&self.request_id);
        if own.is_some_and(|(number, _)| *number == self.number) {
            waiters.by_id.remove(&self.request_id);
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
    async fn a_reply_reaches_the_one_who_waits_for_it_even_if_it_was_faster() {
        let (waiting, stop) = (Waiting::default(), CancellationToken::new());
        let (mine, other) = (Uuid::now_v7(), Uuid::now_v7());
        let waiter = waiting.enter(mine);
        waiting.tell(reply(other));
        waiting.tell(reply(mine));
        let outcome = waiter.outcome(Instant::now() + LONG, &stop).await;
        assert_eq!(outcome, Some(ReplyCode::Delivered));
        assert_eq!(waiting.count(), 0);
    }

    #[tokio::test]
    async fn time_that_runs_out_and_callers_who_go_leave_nothing_behind() {
        let (waiting, stop) = (Waiting::default(), CancellationToken::new());
        let soon = Instant::now() + Duration::from_millis(50);
        let waiter = waiting.enter(Uuid::now_v7());
        assert_eq!(waiter.outcome(soon, &stop).await, None);
        assert_eq!(waiting.count(), 0);

        let gone: Vec<_> = (0..1_000).map(|_| waiting.enter(Uuid::now_v7())).collect();
        assert_eq!(waiting.count(), 1_000);
        drop(gone);
        assert_eq!(waiting.count(), 0);
    }

    #[tokio::test]
    async fn a_process_that_stops_lets_its_callers_go() {
        let (waiting, stop) = (Waiting::default(), CancellationToken::new());
        let waiter = waiting.enter(Uuid::now_v7());
        stop.cancel();
        assert_eq!(waiter.outcome(Instant::now() + LONG, &stop).await, None);
    }

    #[tokio::test]
    async fn of_two_for_one_id_the_later_one_hears_and_the_earlier_one_waits_in_vain() {
        let (waiting, stop) = (Waiting::default(), CancellationToken::new());
        let id = Uuid::now_v7();
        let (earlier, later) = (waiting.enter(id), waiting.enter(id));
        let soon = Instant::now() + Duration::from_millis(50);
        assert_eq!(earlier.outcome(soon, &stop).await, None);
        assert!(Instant::now() >= soon);
        assert_eq!(waiting.count(), 1);
        waiting.tell(reply(id));
        let outcome = later.outcome(Instant::now() + LONG, &stop).await;
        assert_eq!(outcome, Some(ReplyCode::Delivered));
    }
}
