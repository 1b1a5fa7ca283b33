//! Settles one delivery: makes its follow-up durable, then acknowledges it.

use super::window::{DeliveryWindow, WindowPlace};
use crate::message::{BrokerMessage, Queue, Route};
use crate::rabbitmq::connection::Session;
use crate::rabbitmq::publish::publisher::Publisher;
use crate::settlement::{REDELIVERY_PAUSE, Settlement, Unsettled};
use bytes::Bytes;
use failpoints::{crash_point, sabotage};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::{Acker, Channel};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A follow-up that is not confirmed within this time stops the delivery of new work.
const STALLED_AFTER: Duration = Duration::from_secs(1);
/// Between two tries to publish a follow-up; doubled up to [`MAX_RETRY_INTERVAL`].
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long a follow-up has after the consumer was cancelled. Then the original returns to its
/// queue: a queue that takes nothing must not hold up the end of the process.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How a delivery leaves its channel.
pub(super) enum Settled {
    /// It is removed from its queue.
    Acked(Acker, WindowPlace),
    /// It was dropped unsettled, and returns to its queue after [`REDELIVERY_PAUSE`].
    Dropped(Acker, WindowPlace),
}

/// Settles one delivery.
pub(crate) struct AckHandle {
    /// Taken when the delivery is settled.
    acker: Option<(Acker, WindowPlace)>,
    acks: mpsc::UnboundedSender<Settled>,
    window: Arc<DeliveryWindow>,
    publisher: Publisher,
    queue: Queue,
}

impl AckHandle {
    pub(super) fn new(
        acker: Acker,
        acks: mpsc::UnboundedSender<Settled>,
        window: Arc<DeliveryWindow>,
        publisher: Publisher,
        queue: Queue,
    ) -> Self {
        let place = window.take_place();
        Self {
            acker: Some((acker, place)),
            acks,
            window,
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
            sabotage!(
                "ack-before-follow-up",
                if let Some((acker, place)) = self.acker.take() {
                    let _ = self.acks.send(Settled::Acked(acker, place));
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            );
            crash_point!("rabbitmq.follow-up");
            self.make_durable(&route, message).await?;
            crash_point!("rabbitmq.follow-up-confirmed");
        }
        // Not awaited here: the write is batched with others, and a lost ack means a redelivery.
        let (acker, place) = self.acker.take().ok_or(Unsettled)?;
        let settled = Settled::Acked(acker, place);
        if self.window.down.is_cancelled() || self.acks.send(settled).is_err() {
            return Err(Unsettled);
        }
        Ok(())
    }

    /// Publishes the follow-up until it is confirmed, or until the original is redelivered because
    /// the consumer has ended or the process is stopping.
    async fn make_durable(&self, route: &Route, message: BrokerMessage) -> Result<(), Unsettled> {
        let durable = async {
            let mut wait = RETRY_INTERVAL;
            while let Err(error) = self
                .publisher
                .publish_follow_up(route, message.clone())
                .await
            {
                tracing::debug!(%error, "a follow-up is not confirmed yet");
                tokio::time::sleep(wait).await;
                wait = (2 * wait).min(MAX_RETRY_INTERVAL);
            }
        };
        tokio::pin!(durable);
        let window = &self.window;
        tokio::select! {
            () = &mut durable => return Ok(()),
            () = window.down.cancelled() => return Err(Unsettled),
            () = tokio::time::sleep(STALLED_AFTER) => {}
        }
        let _stalled = window.stall();
        let stopped = async {
            window.stopping.cancelled().await;
            tokio::time::sleep(STOP_PATIENCE).await;
        };
        tokio::select! {
            () = durable => Ok(()),
            () = window.down.cancelled() => Err(Unsettled),
            () = stopped => Err(Unsettled),
        }
    }
}

impl Drop for AckHandle {
    fn drop(&mut self) {
        if let Some((acker, place)) = self.acker.take() {
            tracing::debug!(
                queue = self.queue.as_str(),
                "a message was dropped unsettled; it returns to its queue after a pause"
            );
            // An error means that the session has ended, and the broker redelivers it.
            let _ = self.acks.send(Settled::Dropped(acker, place));
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
///
/// Also notices that the broker has closed the channel, and takes the window down: a consumer that
/// waits for something else does not, and the broker has redelivered everything by then.
pub(super) async fn write_acks(
    mut inbox: mpsc::UnboundedReceiver<Settled>,
    channel: Channel,
    session: Arc<Session>,
    window: Arc<DeliveryWindow>,
    queue: Queue,
) {
    let mut writing = FuturesUnordered::new();
    // No more than the prefetch window, in the order in which they return.
    let mut dropped: VecDeque<(Instant, Acker, WindowPlace)> = VecDeque::new();
    let mut channel_closed = session.channel_closed();
    loop {
        let returns_at = dropped.front().map(|(at, ..)| *at);
        tokio::select! {
            Some(written) = writing.next(), if !writing.is_empty() => match written {
                Ok(true) => {}
                Ok(false) => window.down.cancel(),
                Err(error) => {
                    let error: lapin::Error = error;
                    if session.connection.status().connected() {
                        window.down.cancel();
                    } else {
                        session.fail(format!("an ack could not be written: {error}"));
                    }
                }
            },
            () = sleep_until(returns_at) => if let Some((_, acker, place)) = dropped.pop_front() {
                writing.push(write(acker, place, false));
            },
            Ok(()) = channel_closed.changed() => if !channel.status().connected() {
                if !window.down.is_cancelled() {
                    let queue = queue.as_str();
                    tracing::warn!(queue, "the broker closed a consumer's channel; what it held is redelivered");
                }
                window.down.cancel();
            },
            next = inbox.recv() => match next {
                Some(Settled::Acked(acker, place)) => writing.push(write(acker, place, true)),
                Some(Settled::Dropped(acker, place)) => {
                    dropped.push_back((Instant::now() + REDELIVERY_PAUSE, acker, place));
                }
                None => break,
            },
        }
    }
    while writing.next().await.is_some() {}
}

/// Acknowledges a delivery, or returns it to its queue.
async fn write(acker: Acker, _place: WindowPlace, done: bool) -> lapin::Result<bool> {
    if done {
        sabotage!(
            "ack-multiple",
            return acker.ack(BasicAckOptions { multiple: true }).await
        );
        crash_point!("rabbitmq.ack");
        let acked = acker.ack(BasicAckOptions { multiple: false }).await;
        crash_point!("rabbitmq.acked");
        return acked;
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
