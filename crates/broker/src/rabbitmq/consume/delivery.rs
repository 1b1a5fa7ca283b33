//! Settles one delivery: makes its follow-up durable, then acknowledges it.

use crate::message::{BrokerMessage, Queue, Route};
use crate::rabbitmq::connection::Session;
use crate::rabbitmq::publish::publisher::Publisher;
use crate::settlement::{REDELIVERY_PAUSE, Settlement, Unsettled};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A follow-up that is not confirmed within this time stops the delivery of new work.
const STALLED_AFTER: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// How a delivery leaves its channel.
pub(super) enum Settled {
    /// It is removed from its queue.
    Acked(Acker),
    /// It was dropped unsettled, and returns to its queue after [`REDELIVERY_PAUSE`].
    Dropped(Acker),
}

/// Settles one delivery.
pub(crate) struct AckHandle {
    /// Taken when the delivery is settled.
    acker: Option<Acker>,
    acks: mpsc::UnboundedSender<Settled>,
    session: Arc<Session>,
    publisher: Publisher,
    queue: Queue,
}

impl AckHandle {
    pub(super) fn new(
        acker: Acker,
        acks: mpsc::UnboundedSender<Settled>,
        session: Arc<Session>,
        publisher: Publisher,
        queue: Queue,
    ) -> Self {
        Self {
            acker: Some(acker),
            acks,
            session,
            publisher,
            queue,
        }
    }

    pub(crate) async fn settle(
        mut self,
        body: Bytes,
        settlement: Settlement,
    ) -> Result<(), Unsettled> {
        if let Some((route, message)) = settlement.follow_up(self.queue, body) {
            self.make_durable(&route, message).await?;
        }
        // Not awaited here: the write is batched with others, and a lost ack means a redelivery.
        let acker = self.acker.take().ok_or(Unsettled)?;
        if self.session.down.is_cancelled() || self.acks.send(Settled::Acked(acker)).is_err() {
            return Err(Unsettled);
        }
        Ok(())
    }

    /// Publishes the follow-up until it is confirmed, or until the session ends and the original is
    /// redelivered.
    async fn make_durable(&self, route: &Route, message: BrokerMessage) -> Result<(), Unsettled> {
        let durable = async {
            while let Err(error) = self
                .publisher
                .publish_follow_up(route, message.clone())
                .await
            {
                tracing::debug!(%error, "a follow-up is not confirmed yet");
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        };
        tokio::pin!(durable);
        tokio::select! {
            () = &mut durable => return Ok(()),
            () = self.session.down.cancelled() => return Err(Unsettled),
            () = tokio::time::sleep(STALLED_AFTER) => {}
        }
        let _stalled = self.publisher.stalled();
        tokio::select! {
            () = durable => Ok(()),
            () = self.session.down.cancelled() => Err(Unsettled),
        }
    }
}

impl Drop for AckHandle {
    fn drop(&mut self) {
        if let Some(acker) = self.acker.take() {
            tracing::debug!(
                queue = self.queue.as_str(),
                "a message was dropped unsettled; it returns to its queue after a pause"
            );
            // An error means that the session has ended, and the broker redelivers it.
            let _ = self.acks.send(Settled::Dropped(acker));
        }
    }
}

impl std::fmt::Debug for AckHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AckHandle")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// Writes acknowledgements, one per message: attempts finish out of order, and a cumulative ack
/// would settle messages that are still in flight. Ends with the last handle; what was dropped and
/// has not been returned by then returns when the channel is closed.
pub(super) async fn write_acks(mut inbox: mpsc::UnboundedReceiver<Settled>, session: Arc<Session>) {
    let mut writing = FuturesUnordered::new();
    // No more than the prefetch window, in the order in which they return.
    let mut dropped: VecDeque<(Instant, Acker)> = VecDeque::new();
    loop {
        let returns_at = dropped.front().map(|(at, _)| *at);
        tokio::select! {
            Some(written) = writing.next(), if !writing.is_empty() => match written {
                Ok(true) => {}
                Ok(false) => tracing::debug!("an ack came after its channel was closed"),
                Err(error) => {
                    let error: lapin::Error = error;
                    session.fail(format!("an ack could not be written: {error}"));
                }
            },
            () = sleep_until(returns_at) => if let Some((_, acker)) = dropped.pop_front() {
                writing.push(write(acker, false));
            },
            next = inbox.recv() => match next {
                Some(Settled::Acked(acker)) => writing.push(write(acker, true)),
                Some(Settled::Dropped(acker)) => {
                    dropped.push_back((Instant::now() + REDELIVERY_PAUSE, acker));
                }
                None => break,
            },
        }
    }
    while writing.next().await.is_some() {}
}

/// Acknowledges a delivery, or returns it to its queue.
async fn write(acker: Acker, done: bool) -> lapin::Result<bool> {
    if done {
        return acker.ack(BasicAckOptions { multiple: false }).await;
    }
    let options = BasicNackOptions {
        multiple: false,
        requeue: true,
    };
    acker.nack(options).await
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
