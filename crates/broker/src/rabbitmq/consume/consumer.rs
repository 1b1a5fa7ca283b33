//! Delivers the messages of one queue, across lost connections and a graceful stop.
//!
//! What fails for this queue alone (it was deleted, its leader is away, the channel was closed) ends
//! this subscription and leaves the connection to the others.

use super::delivery::{self, AckHandle, Settled};
use super::silence::Silence;
use super::window::DeliveryWindow;
use crate::faults::{FaultEvent, FaultKind};
use crate::message::Queue;
use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::rabbitmq::publish::publisher::Publisher;
use crate::received::{Received, Settler};
use crate::settlement::{AT_HEADER, FROM_HEADER, REASON_HEADER};
use crate::state::Depths;
use futures_util::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Give up on a clean channel close after this long.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// A subscription that is not open within this time is given up.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// After so many in a row the connection goes to another node. Rarely: it repeats the attempts in
/// flight, and does not help where no node can reach the queue.
const UNANSWERED: [u32; 3] = [2, 16, 128];
/// Before a failed subscription is opened again; doubled while it fails.
const RETRY_WAIT: Duration = Duration::from_millis(250);
const MAX_RETRY_WAIT: Duration = Duration::from_secs(5);
/// How often a waiting consumer looks whether it should have received something.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Delivers the messages of one queue.
#[derive(Debug)]
pub(crate) struct RabbitMqConsumer {
    connection: ManagedConnection,
    publisher: Publisher,
    queue: Queue,
    queue_name: String,
    prefetch: u16,
    depths: watch::Receiver<Depths>,
    subscription: Option<Subscription>,
    /// A separate task, kept across calls: if opening were cancelled half-way, the broker would
    /// keep a consumer that is never read, with its prefetch unsettled.
    opening: Option<JoinHandle<Opened>>,
    retry: Retry,
    silence: Silence,
    /// Whether the fault of silence is set.
    was_silent: bool,
    look: Interval,
    /// Received, but not delivered until its follow-up can be published.
    pending: Option<(Received, Arc<DeliveryWindow>)>,
    /// Cancelled with [`RabbitMqConsumer::cancel`].
    stopping: CancellationToken,
}

/// `Err`: the reason, after the failure was reported.
type Opened = Result<Subscription, OpenError>;

/// Why a subscription was not opened.
#[derive(Debug)]
enum OpenError {
    /// The broker refuses it: the queue is missing, or a permission.
    Refused(String),
    /// It does not answer on this session.
    Unanswered(Arc<Session>),
    /// The session has ended.
    Lost,
}

/// When a failed subscription is opened again.
#[derive(Debug)]
struct Retry {
    wait: Duration,
    not_before: Instant,
    unanswered: u32,
}

impl Retry {
    fn new() -> Self {
        Self {
            wait: RETRY_WAIT,
            not_before: Instant::now(),
            unanswered: 0,
        }
    }

    /// Notes a failure.
    fn failed(&mut self) {
        self.not_before = Instant::now() + self.wait;
        self.wait = (2 * self.wait).min(MAX_RETRY_WAIT);
    }
}

/// A consumer on one session.
#[derive(Debug)]
struct Subscription {
    session: Arc<Session>,
    channel: Channel,
    deliveries: lapin::Consumer,
    window: Arc<DeliveryWindow>,
    acks: mpsc::UnboundedSender<Settled>,
    ack_writer: JoinHandle<()>,
}

impl Subscription {
    async fn open(
        session: &Arc<Session>,
        queue: Queue,
        queue_name: &str,
        prefetch: u16,
        stopping: &CancellationToken,
    ) -> Opened {
        let mut begun = None;
        let opened = Self::open_consumer(session, queue, queue_name, prefetch, &mut begun);
        match tokio::time::timeout(OPEN_TIMEOUT, opened).await {
            Err(_) => {
                // The broker may open it later, when the queue has a leader again: then it would hold a
                // prefetch of messages that nobody reads, for as long as the session lives.
                if let Some(channel) = begun {
                    close_soon(channel);
                }
                Err(OpenError::Unanswered(Arc::clone(session)))
            }
            Ok(Err(error)) if error.is_amqp_soft_error() => {
                Err(OpenError::Refused(error.to_string()))
            }
            Ok(Err(error)) => {
                session.fail(format!("consuming {queue_name} failed: {error}"));
                Err(OpenError::Lost)
            }
            Ok(Ok((channel, deliveries))) => {
                let window = Arc::new(DeliveryWindow::new(&session.down, stopping));
                let (acks, inbox) = mpsc::unbounded_channel();
                let ack_writer = tokio::spawn(delivery::write_acks(
                    inbox,
                    channel.clone(),
                    Arc::clone(session),
                    Arc::clone(&window),
                    queue,
                ));
                Ok(Self {
                    session: Arc::clone(session),
                    channel,
                    deliveries,
                    window,
                    acks,
                    ack_writer,
                })
            }
        }
    }

    async fn open_consumer(
        session: &Session,
        queue: Queue,
        queue_name: &str,
        prefetch: u16,
        begun: &mut Option<Channel>,
    ) -> lapin::Result<(Channel, lapin::Consumer)> {
        let channel = session.connection.create_channel().await?;
        *begun = Some(channel.clone());
        // Not global: RabbitMQ 4.3 denies global prefetch.
        channel
            .basic_qos(prefetch, BasicQosOptions { global: false })
            .await?;
        let (name, tag) = (queue_name.into(), queue.as_str().into());
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let deliveries = channel.basic_consume(name, tag, options, arguments).await?;
        Ok((channel, deliveries))
    }

    fn receive(&self, delivery: Delivery, queue: Queue, publisher: Publisher) -> Received {
        let handle = AckHandle::new(
            delivery.acker,
            self.acks.clone(),
            Arc::clone(&self.window),
            publisher,
            queue,
        );
        let header = |name| header(&delivery.properties, name);
        let at = header(AT_HEADER).and_then(|at| at.parse().ok());
        Received {
            reason: header(REASON_HEADER),
            quarantined: (header(FROM_HEADER), at),
            body: delivery.data.into(),
            redelivered: delivery.redelivered,
            settler: Settler::RabbitMq(handle),
        }
    }

    /// Ends this subscription alone. Its messages are redelivered; what is in hand cannot be settled
    /// any more.
    fn end(self) {
        self.window.down.cancel();
        close_soon(self.channel);
    }
}

/// Closes a channel without waiting for that: its messages are redelivered.
fn close_soon(channel: Channel) {
    tokio::spawn(async move {
        // An error means that the broker has closed it.
        let close = channel.close(200, "OK".into());
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
    });
}

/// What the wait for a delivery brought.
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart at once; a box for each message would cost more"
)]
enum Waited {
    Delivery(Delivery),
    /// The subscription has ended, with the reason.
    Ended(String),
    /// The session or the subscription is down already.
    Down,
    /// It is time for a look.
    Look,
}

impl RabbitMqConsumer {
    pub(in crate::rabbitmq) fn new(
        connection: ManagedConnection,
        publisher: Publisher,
        queue: Queue,
        queue_name: String,
        prefetch: u16,
        depths: watch::Receiver<Depths>,
    ) -> Self {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            connection,
            publisher,
            queue,
            queue_name,
            prefetch,
            depths,
            subscription: None,
            opening: None,
            retry: Retry::new(),
            silence: Silence::default(),
            was_silent: false,
            look,
            pending: None,
            stopping: CancellationToken::new(),
        }
    }

    pub(crate) async fn next(&mut self) -> Received {
        loop {
            if let Some(received) = self.deliver_pending().await {
                return received;
            }
            if !self.subscribe().await {
                // The connection was closed on purpose: there will be no further message.
                return std::future::pending().await;
            }
            match self.wait().await {
                Waited::Delivery(delivery) => {
                    self.silence.received();
                    self.retry.wait = RETRY_WAIT;
                    self.no_longer_silent();
                    if let Some(received) = self.receive(delivery) {
                        return received;
                    }
                }
                Waited::Look => self.look_for_silence(),
                Waited::Down => self.end_subscription(),
                Waited::Ended(reason) => {
                    // Not often: the next one is opened after a wait that grows.
                    let queue = self.queue.as_str();
                    tracing::warn!(queue, reason, "a consumer has ended; another is opened");
                    // Most often: the queue was deleted.
                    self.connection.monitor().suspect_topology();
                    self.retry.failed();
                    self.end_subscription();
                }
            }
        }
    }

    async fn wait(&mut self) -> Waited {
        let Some(subscription) = &mut self.subscription else {
            return Waited::Down;
        };
        tokio::select! {
            biased;
            () = subscription.window.down.cancelled() => Waited::Down,
            delivery = subscription.deliveries.next() => match delivery {
                Some(Ok(delivery)) => Waited::Delivery(delivery),
                Some(Err(error)) => Waited::Ended(error.to_string()),
                // The queue was deleted, or its leader lost.
                None => Waited::Ended("the broker ended the consumer".to_owned()),
            },
            _ = self.look.tick() => Waited::Look,
        }
    }

    /// Takes a delivery in. It is returned now if it need not wait until its follow-up can be
    /// published.
    fn receive(&mut self, delivery: Delivery) -> Option<Received> {
        let subscription = self.subscription.as_ref()?;
        let received = subscription.receive(delivery, self.queue, self.publisher.clone());
        // A record has no follow-up, and must leave the queue during an alarm too.
        if self.queue == Queue::Journal {
            return Some(received);
        }
        if self.queue == Queue::Unrouted {
            self.connection.monitor().suspect_bindings();
        }
        self.pending = Some((received, Arc::clone(&subscription.window)));
        None
    }

    /// Connects anew, to another node if there is one, when messages are ready and none arrives.
    fn look_for_silence(&mut self) {
        let Some(subscription) = &self.subscription else {
            return;
        };
        let ready = self.depths.borrow().of(self.queue).current();
        let has_room = subscription.window.taken() < usize::from(self.prefetch);
        let (monitor, name) = (self.connection.monitor(), self.queue.as_str());
        if self.silence.look(Instant::now(), ready, has_room) {
            let meaning = "messages are ready in the queue and none is delivered: connecting anew";
            self.was_silent = true;
            monitor.raise(FaultKind::Silent, name, meaning);
            monitor.count(FaultEvent::SilentConsumer, name);
            let reason = format!("messages are ready in {name}, and its consumer receives none");
            subscription.session.fail(reason);
        } else if ready == Some(0) {
            self.no_longer_silent();
        }
    }

    fn no_longer_silent(&mut self) {
        if std::mem::take(&mut self.was_silent) {
            let monitor = self.connection.monitor();
            monitor.clear(FaultKind::Silent, self.queue.as_str());
        }
    }

    /// Delivers the pending message as soon as its follow-up could be published. This is checked
    /// after the wait for the message, which may have been long.
    async fn deliver_pending(&mut self) -> Option<Received> {
        let (_, window) = self.pending.as_ref()?;
        // Half of the places at most hold follow-ups that are not confirmed.
        let limit = usize::from(self.prefetch / 2).max(1);
        let deliverable = tokio::select! {
            () = self.publisher.ready_for_follow_ups(window.stalled(), limit) => true,
            // The broker already redelivers it to another consumer.
            () = window.down.cancelled() => false,
        };
        let (received, _) = self.pending.take()?;
        deliverable.then_some(received)
    }

    fn end_subscription(&mut self) {
        if let Some(subscription) = self.subscription.take() {
            subscription.end();
        }
    }

    /// Subscribes, unless it is subscribed. `false`: the connection was closed on purpose.
    async fn subscribe(&mut self) -> bool {
        while self.subscription.is_none() {
            if self.opening.is_none() {
                tokio::time::sleep_until(self.retry.not_before).await;
                let Some(session) = self.connection.session().await else {
                    return false;
                };
                let (queue, name, prefetch) = (self.queue, self.queue_name.clone(), self.prefetch);
                let stopping = self.stopping.clone();
                self.opening = Some(tokio::spawn(async move {
                    Subscription::open(&session, queue, &name, prefetch, &stopping).await
                }));
            }
            self.finish_opening().await;
        }
        true
    }

    /// Waits for the subscription that is being opened, if any.
    async fn finish_opening(&mut self) {
        let Some(opening) = &mut self.opening else {
            return;
        };
        let opened = opening.await.unwrap_or(Err(OpenError::Lost));
        self.opening = None;
        let (monitor, name) = (self.connection.monitor(), self.queue.as_str());
        match opened {
            Ok(subscription) => {
                monitor.clear(FaultKind::NotConsumed, name);
                self.retry.unanswered = 0;
                self.subscription = Some(subscription);
                return;
            }
            Err(OpenError::Lost) => {}
            Err(OpenError::Refused(reason)) => {
                let meaning = format!("the queue cannot be consumed, trying again: {reason}");
                monitor.raise(FaultKind::NotConsumed, name, &meaning);
                monitor.suspect_topology();
            }
            Err(OpenError::Unanswered(session)) => {
                let meaning = "the queue cannot be consumed, trying again: its leader may be away";
                monitor.raise(FaultKind::NotConsumed, name, meaning);
                self.retry.unanswered += 1;
                if UNANSWERED.contains(&self.retry.unanswered) {
                    session.fail(format!("the broker opens no consumer of {name}"));
                }
            }
        }
        self.retry.failed();
    }

    pub(crate) async fn cancel(&mut self) {
        self.stopping.cancel();
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
        // What kept this consumer from its queue concerns nobody any more.
        let monitor = self.connection.monitor();
        monitor.clear(FaultKind::NotConsumed, self.queue.as_str());
        let Some(Subscription {
            channel,
            deliveries,
            acks,
            ack_writer,
            ..
        }) = self.subscription.take()
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

fn header(properties: &BasicProperties, name: &str) -> Option<String> {
    let headers = properties.headers().as_ref()?;
    match headers.inner().get(name)? {
        AMQPValue::LongString(value) => Some(value.to_string()),
        _ => None, // Not written by this gateway.
    }
}
