//! How are messages taken from a lane, across lost connections and a graceful stop?

use super::link::{Link, Live};
use super::publisher::Publisher;
use super::receipt::{self, Receipt};
use crate::received::REASON;
use crate::{Lane, Received};
use futures_util::StreamExt as _;
use lapin::BasicProperties;
use lapin::Channel;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A farewell that is not answered is not waited for.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Hands out the messages of one lane.
#[derive(Debug)]
pub(crate) struct Consumer {
    link: Link,
    publisher: Publisher,
    queue: String,
    lane: Lane,
    prefetch: u16,
    session: Option<Session>,
    /// A task of its own, kept across calls: a wait that is given up half-way would leave a consumer
    /// at the broker that nobody reads, with its prefetch in hand.
    opening: Option<JoinHandle<lapin::Result<Session>>>,
    /// Taken, and waiting until its follow-up can be published.
    taken: Option<(Received, Arc<Live>)>,
}

/// Consuming over one connection.
#[derive(Debug)]
struct Session {
    live: Arc<Live>,
    channel: Channel,
    deliveries: lapin::Consumer,
    acks: mpsc::UnboundedSender<lapin::Acker>,
    acking: JoinHandle<()>,
}

impl Session {
    async fn open(live: &Arc<Live>, queue: &str, lane: Lane, prefetch: u16) -> lapin::Result<Self> {
        let channel = live.connection.create_channel().await?;
        // Not global: RabbitMQ 4.3 denies global prefetch.
        channel
            .basic_qos(prefetch, BasicQosOptions { global: false })
            .await?;
        let (queue, tag) = (queue.into(), lane.as_str().into());
        let options = BasicConsumeOptions::default();
        let none = FieldTable::default();
        let deliveries = channel.basic_consume(queue, tag, options, none).await?;
        let (acks, inbox) = mpsc::unbounded_channel();
        let acking = tokio::spawn(receipt::ack_all(inbox, Arc::clone(live)));
        Ok(Self {
            live: Arc::clone(live),
            channel,
            deliveries,
            acks,
            acking,
        })
    }
}

impl Consumer {
    pub(super) fn new(
        link: Link,
        publisher: Publisher,
        queue: String,
        lane: Lane,
        prefetch: u16,
    ) -> Self {
        Self {
            link,
            publisher,
            queue,
            lane,
            prefetch,
            session: None,
            opening: None,
            taken: None,
        }
    }

    pub(crate) async fn next(&mut self) -> Received {
        loop {
            if let Some(received) = self.hand_out().await {
                return received;
            }
            let Some(session) = self.standing_session().await else {
                // The link was closed on purpose: there will never be another message.
                return std::future::pending().await;
            };
            let delivery = tokio::select! {
                biased;
                () = session.live.down.cancelled() => continue,
                delivery = session.deliveries.next() => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => {
                    let live = Arc::clone(&session.live);
                    let receipt = Receipt::new(
                        delivery.acker,
                        session.acks.clone(),
                        Arc::clone(&live),
                        self.publisher.clone(),
                        self.lane,
                    );
                    let received = Received {
                        reason: reason(&delivery.properties),
                        body: delivery.data.into(),
                        redelivered: delivery.redelivered,
                        receipt: crate::received::Receipt::RabbitMq(receipt),
                    };
                    // A record needs no follow-up, and must leave the queue in an alarm all the more.
                    if self.lane == Lane::Journal {
                        return received;
                    }
                    self.taken = Some((received, live));
                }
                Some(Err(error)) => session.live.fault(error.to_string()),
                // The queue was deleted, or its leader lost.
                None => session.live.fault("the broker ended the consumer"),
            }
        }
    }

    /// What was taken, as soon as its follow-up could be published. Asked after the wait for the
    /// message, which may have been long.
    async fn hand_out(&mut self) -> Option<Received> {
        let (_, live) = self.taken.as_ref()?;
        let standing = tokio::select! {
            () = self.publisher.able() => true,
            // The broker hands it to somebody else already.
            () = live.down.cancelled() => false,
        };
        let (received, _) = self.taken.take()?;
        standing.then_some(received)
    }

    async fn standing_session(&mut self) -> Option<&mut Session> {
        if self
            .session
            .as_ref()
            .is_some_and(|session| session.live.down.is_cancelled())
        {
            self.session = None;
        }
        while self.session.is_none() {
            if self.opening.is_none() {
                let live = self.link.up().await?;
                let (queue, lane, prefetch) = (self.queue.clone(), self.lane, self.prefetch);
                self.opening = Some(tokio::spawn(async move {
                    let opened = Session::open(&live, &queue, lane, prefetch).await;
                    if let Err(error) = &opened {
                        live.fault(format!("consuming {queue} failed: {error}"));
                    }
                    opened
                }));
            }
            self.opened().await;
        }
        self.session.as_mut()
    }

    /// Waits for the session that is being opened, if one is.
    async fn opened(&mut self) {
        if let Some(opening) = &mut self.opening {
            let opened = opening.await;
            self.opening = None;
            self.session = opened.ok().and_then(Result::ok);
        }
    }

    pub(crate) async fn cancel(&mut self) {
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.opened()).await;
        let Some(session) = &mut self.session else {
            return;
        };
        let tag = session.deliveries.tag();
        let cancel = async {
            session
                .channel
                .basic_cancel(tag, BasicCancelOptions::default())
                .await?;
            // What was prefetched goes back at once: the channel stays open as long as the attempts
            // in hand, and others could work on it meanwhile. The stream ends with the last.
            while let Some(delivery) = session.deliveries.next().await {
                delivery?
                    .nack(BasicNackOptions {
                        requeue: true,
                        multiple: false,
                    })
                    .await?;
            }
            Ok::<_, lapin::Error>(())
        };
        if !matches!(tokio::time::timeout(CLOSE_WITHIN, cancel).await, Ok(Ok(()))) {
            tracing::debug!(lane = self.lane.as_str(), "cancelling the consumer failed");
        }
    }

    pub(crate) async fn close(mut self) {
        let _ = tokio::time::timeout(CLOSE_WITHIN, self.opened()).await;
        self.taken = None;
        let Some(Session {
            channel,
            deliveries,
            acks,
            acking,
            ..
        }) = self.session
        else {
            return;
        };
        drop((deliveries, acks));
        let farewell = async {
            // Ends when the last receipt is settled or dropped and its ack is written.
            let _ = acking.await;
            channel.close(200, "OK".into()).await
        };
        if !matches!(
            tokio::time::timeout(CLOSE_WITHIN, farewell).await,
            Ok(Ok(()))
        ) {
            tracing::debug!(
                lane = self.lane.as_str(),
                "closing the consumer's channel failed"
            );
        }
    }
}

fn reason(properties: &BasicProperties) -> Option<String> {
    let headers = properties.headers().as_ref()?;
    match headers.inner().get(REASON)? {
        AMQPValue::LongString(reason) => Some(reason.to_string()),
        _ => None, // None of ours.
    }
}
