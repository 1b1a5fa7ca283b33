//! How are messages handed out from the embedded store, and let go?
//!
//! A lease is the process's own memory: it needs no clock, and dies with the process.

use super::ahead::{Ahead, Ready};
use super::batch::{Ask, Put};
use super::index::Key;
use super::shared::{Shared, Take};
use super::store::unix_ms;
use super::{Asks, put};
use crate::received::Receipt as AnyReceipt;
use crate::{Lane, Received, Settlement, State, Unsettled};
use bytes::Bytes;
use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

/// How long a stop waits for settlements to be written.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Hands out the messages of one lane.
#[derive(Debug)]
pub(crate) struct Consumer {
    lane: Lane,
    shared: Arc<Shared>,
    asks: Asks,
    state: watch::Receiver<State>,
    credit: Arc<Semaphore>,
    held: Arc<Held>,
    ahead: Ahead,
}

/// What a consumer has handed out and not seen settled.
#[derive(Debug, Default)]
struct Held(Mutex<HashMap<i64, Key>>);

impl Held {
    fn keys(&self) -> MutexGuard<'_, HashMap<i64, Key>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer {
    pub(super) fn new(
        lane: Lane,
        prefetch: u16,
        shared: Arc<Shared>,
        asks: Asks,
        state: watch::Receiver<State>,
    ) -> Self {
        let credit = Arc::new(Semaphore::new(prefetch.into()));
        Self {
            lane,
            shared,
            asks,
            state,
            credit,
            held: Arc::default(),
            ahead: Ahead::default(),
        }
    }

    pub(crate) async fn next(&mut self) -> Received {
        let credit = Arc::clone(&self.credit);
        let Ok(credit) = credit.acquire_owned().await else {
            return pending().await;
        };
        let shared = Arc::clone(&self.shared);
        loop {
            // A full disk takes no follow-ups: an attempt now would only be repeated.
            if self
                .state
                .wait_for(|state| *state == State::Connected)
                .await
                .is_err()
            {
                return pending().await;
            }
            if let Some(ready) = self.ahead.next().await {
                return self.hand_out(ready, credit);
            }
            let mut news = std::pin::pin!(shared.news.notified());
            // Before looking, or what comes in between is missed.
            news.as_mut().enable();
            let now = unix_ms();
            let Take {
                taken,
                wants_page,
                next_due,
            } = shared.take(self.lane, now);
            if wants_page {
                self.asks.send(Ask::Page { lane: self.lane });
            }
            if !taken.is_empty() {
                self.ahead.take_in(taken, self.lane, &self.asks);
                continue;
            }
            let due = next_due.map(|due| Duration::from_millis(due.saturating_sub(now)));
            tokio::select! {
                () = news => {}
                () = sleep(due) => {}
            }
        }
    }

    fn hand_out(&self, ready: Ready, credit: OwnedSemaphorePermit) -> Received {
        let Ready {
            key,
            body,
            redelivered,
        } = ready;
        self.held.keys().insert(key.1, key);
        let receipt = Receipt {
            lane: self.lane,
            number: key.1,
            held: Arc::clone(&self.held),
            asks: self.asks.clone(),
            credit: Some(credit),
        };
        Received {
            body,
            redelivered,
            reason: None,
            receipt: AnyReceipt::Embedded(receipt),
        }
    }

    /// What was taken and not handed out waits again.
    pub(crate) fn cancel(&mut self) {
        let ahead = self.ahead.give_back();
        if !ahead.is_empty() {
            self.shared.put_back(self.lane, ahead);
        }
    }

    pub(crate) async fn close(self) {
        let (done, flushed) = oneshot::channel();
        self.asks.send(Ask::Flush { done });
        // An error means that the store has ended, and with it all that was asked before. A full disk
        // settles nothing, and must not keep the process from stopping.
        if tokio::time::timeout(CLOSE_WITHIN, flushed).await.is_err() {
            tracing::warn!(
                lane = self.lane.as_str(),
                "settlements are left; they will be repeated"
            );
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let held = std::mem::take(&mut *self.held.keys());
        let handed_out = held.into_values().map(|key| (key, true));
        let ahead = self.ahead.give_back();
        self.shared.put_back(self.lane, handed_out.chain(ahead));
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        // At least a moment, so that a clock set back does not make this spin.
        Some(wait) => tokio::time::sleep(wait.max(Duration::from_millis(1))).await,
        None => pending().await,
    }
}

/// The right, and the duty, to settle one delivery.
pub(crate) struct Receipt {
    lane: Lane,
    number: i64,
    held: Arc<Held>,
    asks: Asks,
    /// Given back when the message is settled.
    credit: Option<OwnedSemaphorePermit>,
}

impl Receipt {
    pub(crate) async fn settle(
        mut self,
        body: Bytes,
        settlement: Settlement,
    ) -> Result<(), Unsettled> {
        // Its consumer is gone: somebody else has it, or will.
        self.held.keys().remove(&self.number).ok_or(Unsettled)?;
        let (lane, number) = (self.lane, self.number);
        let follow_up = settlement.follow_up(lane, body);
        let settled = match follow_up {
            // Not waited for: a lost deletion is a redelivery.
            None => {
                self.asks.send(Ask::Settle {
                    lane,
                    number,
                    follow_up: None,
                    done: None,
                });
                Ok(())
            }
            Some((route, message)) => {
                let follow_up: Option<Put> = Some(put(&route, message));
                let (done, durable) = oneshot::channel();
                self.asks.send(Ask::Settle {
                    lane,
                    number,
                    follow_up,
                    done: Some(done),
                });
                durable.await.map_err(|_| Unsettled)
            }
        };
        drop(self.credit.take());
        settled
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        // As over RabbitMQ: an unsettled message keeps its place in the window.
        if let Some(credit) = self.credit.take() {
            credit.forget();
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receipt")
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}
