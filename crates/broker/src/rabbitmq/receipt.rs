//! How is a delivery let go, and what must be durable before?

use super::link::Live;
use super::publisher::Publisher;
use crate::route::Route;
use crate::{Lane, Message, Settlement, Unsettled};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::Acker;
use lapin::options::BasicAckOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A follow-up that waits longer than this holds up the taking of new work.
const STUCK_AFTER: Duration = Duration::from_secs(1);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The right, and the duty, to settle one delivery.
pub(crate) struct Receipt {
    /// Taken when the delivery is settled.
    acker: Option<Acker>,
    acks: mpsc::UnboundedSender<Acker>,
    live: Arc<Live>,
    publisher: Publisher,
    lane: Lane,
}

impl Receipt {
    pub(super) fn new(
        acker: Acker,
        acks: mpsc::UnboundedSender<Acker>,
        live: Arc<Live>,
        publisher: Publisher,
        lane: Lane,
    ) -> Self {
        Self {
            acker: Some(acker),
            acks,
            live,
            publisher,
            lane,
        }
    }

    pub(crate) async fn settle(
        mut self,
        body: Bytes,
        settlement: Settlement,
    ) -> Result<(), Unsettled> {
        if let Some((route, message)) = settlement.follow_up(self.lane, body) {
            self.make_durable(&route, message).await?;
        }
        // Never awaited here: the write batches with others, and a lost ack is a redelivery.
        let acker = self.acker.take().ok_or(Unsettled)?;
        if self.live.down.is_cancelled() || self.acks.send(acker).is_err() {
            return Err(Unsettled);
        }
        Ok(())
    }

    /// Publishes the follow-up until it is confirmed, or until the original is no longer ours to
    /// let go.
    async fn make_durable(&self, route: &Route, message: Message) -> Result<(), Unsettled> {
        let durable = async {
            while let Err(error) = self
                .publisher
                .publish_patiently(route, message.clone())
                .await
            {
                tracing::debug!(%error, "a follow-up is not confirmed yet");
                tokio::time::sleep(TRY_AGAIN_AFTER).await;
            }
        };
        tokio::pin!(durable);
        tokio::select! {
            () = &mut durable => return Ok(()),
            () = self.live.down.cancelled() => return Err(Unsettled),
            () = tokio::time::sleep(STUCK_AFTER) => {}
        }
        let _stuck = self.publisher.stuck();
        tokio::select! {
            () = durable => Ok(()),
            () = self.live.down.cancelled() => Err(Unsettled),
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if self.acker.is_some() {
            tracing::debug!(
                lane = self.lane.as_str(),
                "a message was left unsettled; it is redelivered when the connection ends"
            );
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

/// Writes acknowledgements, one per message: calls finish out of order, and a cumulative one would
/// let go of messages that are still being called. Ends with the last receipt.
pub(super) async fn ack_all(mut inbox: mpsc::UnboundedReceiver<Acker>, live: Arc<Live>) {
    let mut writing = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(written) = writing.next(), if !writing.is_empty() => match written {
                Ok(true) => {}
                Ok(false) => tracing::debug!("an ack came after its channel's end"),
                Err(error) => {
                    let error: lapin::Error = error;
                    live.fault(format!("an ack could not be written: {error}"));
                }
            },
            next = inbox.recv() => match next {
                Some(acker) => writing.push(ack(acker)),
                None => break,
            },
        }
    }
    while writing.next().await.is_some() {}
}

async fn ack(acker: Acker) -> lapin::Result<bool> {
    acker.ack(BasicAckOptions { multiple: false }).await
}
