//! Delivers the messages of one queue, across lost connections and a graceful stop.

use super::delivery::{self, AckHandle, Settled};
use crate::message::Queue;
use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::rabbitmq::publish::publisher::Publisher;
use crate::received::{Received, Settler};
use crate::settlement::REASON_HEADER;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Give up on a clean channel close after this long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Delivers the messages of one queue.
#[derive(Debug)]
pub(crate) struct RabbitMqConsumer {
    connection: ManagedConnection,
    publisher: Publisher,
    queue: Queue,
    queue_name: String,
    prefetch: u16,
    subscription: Option<Subscription>,
    /// A separate task, kept across calls: if opening were cancelled half-way, the broker would
    /// keep a consumer that is never read, with its prefetch unsettled.
    opening: Option<JoinHandle<lapin::Result<Subscription>>>,
    /// Received, but not delivered until its follow-up can be published.
    pending: Option<(Received, Arc<Session>)>,
}

/// A consumer on one session.
#[derive(Debug)]
struct Subscription {
    session: Arc<Session>,
    channel: Channel,
    deliveries: lapin::Consumer,
    acks: mpsc::UnboundedSender<Settled>,
    ack_writer: JoinHandle<()>,
}

impl Subscription {
    async fn open(
        session: &Arc<Session>,
        queue: Queue,
        queue_name: &str,
        prefetch: u16,
    ) -> lapin::Result<Self> {
        let channel = session.connection.create_channel().await?;
        // Not global: RabbitMQ 4.3 denies global prefetch.
        channel
            .basic_qos(prefetch, BasicQosOptions { global: false })
            .await?;
        let (name, tag) = (queue_name.into(), queue.as_str().into());
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let deliveries = channel.basic_consume(name, tag, options, arguments).await?;
        let (acks, inbox) = mpsc::unbounded_channel();
        let ack_writer = tokio::spawn(delivery::write_acks(inbox, Arc::clone(session)));
        Ok(Self {
            session: Arc::clone(session),
            channel,
            deliveries,
            acks,
            ack_writer,
        })
    }

    fn receive(&self, delivery: Delivery, queue: Queue, publisher: Publisher) -> Received {
        let handle = AckHandle::new(
            delivery.acker,
            self.acks.clone(),
            Arc::clone(&self.session),
            publisher,
            queue,
        );
        Received {
            reason: reason(&delivery.properties),
            body: delivery.data.into(),
            redelivered: delivery.redelivered,
            settler: Settler::RabbitMq(handle),
        }
    }
}

impl RabbitMqConsumer {
    pub(in crate::rabbitmq) fn new(
        connection: ManagedConnection,
        publisher: Publisher,
        queue: Queue,
        queue_name: String,
        prefetch: u16,
    ) -> Self {
        Self {
            connection,
            publisher,
            queue,
            queue_name,
            prefetch,
            subscription: None,
            opening: None,
            pending: None,
        }
    }

    pub(crate) async fn next(&mut self) -> Received {
        loop {
            if let Some(received) = self.deliver_pending().await {
                return received;
            }
            let (queue, publisher) = (self.queue, self.publisher.clone());
            let Some(subscription) = self.subscribed().await else {
                // The connection was closed on purpose: there will be no further message.
                return std::future::pending().await;
            };
            let delivery = tokio::select! {
                biased;
                () = subscription.session.down.cancelled() => continue,
                delivery = subscription.deliveries.next() => delivery,
            };
            match delivery {
                Some(Ok(delivery)) => {
                    let received = subscription.receive(delivery, queue, publisher);
                    // A record has no follow-up, and must leave the queue during an alarm too.
                    if queue == Queue::Journal {
                        return received;
                    }
                    let session = Arc::clone(&subscription.session);
                    self.pending = Some((received, session));
                }
                Some(Err(error)) => subscription.session.fail(error.to_string()),
                // The queue was deleted, or its leader lost.
                None => subscription.session.fail("the broker ended the consumer"),
            }
        }
    }

    /// Delivers the pending message as soon as its follow-up could be published. This is checked
    /// after the wait for the message, which may have been long.
    async fn deliver_pending(&mut self) -> Option<Received> {
        let (_, session) = self.pending.as_ref()?;
        let deliverable = tokio::select! {
            () = self.publisher.ready_for_follow_ups() => true,
            // The broker already redelivers it to another consumer.
            () = session.down.cancelled() => false,
        };
        let (received, _) = self.pending.take()?;
        deliverable.then_some(received)
    }

    async fn subscribed(&mut self) -> Option<&mut Subscription> {
        if self
            .subscription
            .as_ref()
            .is_some_and(|subscription| subscription.session.down.is_cancelled())
        {
            self.subscription = None;
        }
        while self.subscription.is_none() {
            if self.opening.is_none() {
                let session = self.connection.session().await?;
                let (queue, name, prefetch) = (self.queue, self.queue_name.clone(), self.prefetch);
                self.opening = Some(tokio::spawn(async move {
                    let opened = Subscription::open(&session, queue, &name, prefetch).await;
                    if let Err(error) = &opened {
                        session.fail(format!("consuming {name} failed: {error}"));
                    }
                    opened
                }));
            }
            self.finish_opening().await;
        }
        self.subscription.as_mut()
    }

    /// Waits for the subscription that is being opened, if any.
    async fn finish_opening(&mut self) {
        if let Some(opening) = &mut self.opening {
            let opened = opening.await;
            self.opening = None;
            self.subscription = opened.ok().and_then(Result::ok);
        }
    }

    pub(crate) async fn cancel(&mut self) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.finish_opening()).await;
        let Some(subscription) = &mut self.subscription else {
            return;
        };
        let tag = subscription.deliveries.tag();
        let cancel = async {
            subscription
                .channel
                .basic_cancel(tag, BasicCancelOptions::default())
                .await?;
            // Requeue what was prefetched at once: the channel stays open until the attempts in
            // flight end, and other consumers could work on it meanwhile. The stream ends with the
            // last prefetched message.
            while let Some(delivery) = subscription.deliveries.next().await {
                delivery?
                    .nack(BasicNackOptions {
                        requeue: true,
                        multiple: false,
                    })
                    .await?;
            }
            Ok::<_, lapin::Error>(())
        };
        if !matches!(
            tokio::time::timeout(CLOSE_TIMEOUT, cancel).await,
            Ok(Ok(()))
        ) {
            tracing::debug!(
                queue = self.queue.as_str(),
                "cancelling the consumer failed"
            );
        }
    }

    pub(crate) async fn close(mut self) {
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.finish_opening()).await;
        self.pending = None;
        let Some(Subscription {
            channel,
            deliveries,
            acks,
            ack_writer,
            ..
        }) = self.subscription
        else {
            return;
        };
        drop((deliveries, acks));
        let close = async {
            // Ends when the last handle is settled or dropped and its ack is written.
            let _ = ack_writer.await;
            channel.close(200, "OK".into()).await
        };
        if !matches!(tokio::time::timeout(CLOSE_TIMEOUT, close).await, Ok(Ok(()))) {
            let queue = self.queue.as_str();
            tracing::debug!(queue, "closing the consumer's channel failed");
        }
    }
}

fn reason(properties: &BasicProperties) -> Option<String> {
    let headers = properties.headers().as_ref()?;
    match headers.inner().get(REASON_HEADER)? {
        AMQPValue::LongString(reason) => Some(reason.to_string()),
        _ => None, // Not written by this gateway.
    }
}
