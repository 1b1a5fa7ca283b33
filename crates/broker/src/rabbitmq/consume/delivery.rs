//! Settles one delivery: makes its follow-up durable, then acknowledges it.

use crate::message::{BrokerMessage, Queue, Route};
use crate::rabbitmq::connection::Session;
use crate::rabbitmq::publish::publisher::Publisher;
use crate::settlement::{Settlement, Unsettled};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::Acker;
use lapin::options::BasicAckOptions;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A follow-up that is not confirmed within this time stops the delivery of new work.
const STALLED_AFTER: Duration = Duration::from_secs(1);
const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// Settles one delivery.
pub(crate) struct AckHandle {
    /// Taken when the delivery is settled.
    acker: Option<Acker>,
    acks: mpsc::UnboundedSender<Acker>,
    session: Arc<Session>,
    publisher: Publisher,
    queue: Queue,
}

impl AckHandle {
    pub(super) fn new(
        acker: Acker,
        acks: mpsc::UnboundedSender<Acker>,
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
        if self.session.down.is_cancelled() || self.acks.send(acker).is_err() {
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
        if self.acker.is_some() {
            tracing::debug!(
                queue = self.queue.as_str(),
                "a message was left unsettled; it is redelivered when the connection ends"
            );
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
/// would settle messages that are still in flight. Ends with the last handle.
pub(super) async fn write_acks(mut inbox: mpsc::UnboundedReceiver<Acker>, session: Arc<Session>) {
    let mut writing = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(written) = writing.next(), if !writing.is_empty() => match written {
                Ok(true) => {}
                Ok(false) => tracing::debug!("an ack came after its channel was closed"),
                Err(error) => {
                    let error: lapin::Error = error;
                    session.fail(format!("an ack could not be written: {error}"));
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
