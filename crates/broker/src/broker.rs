//! The broker and its consumers, with either adapter behind them.

use crate::control::Control;
use crate::embedded::{EmbeddedBroker, EmbeddedConsumer, EmbeddedOptions, StoreClock};
use crate::faults::BrokerFaults;
use crate::message::{BrokerMessage, Queue, Route};
use crate::publish_error::PublishError;
use crate::rabbitmq::{BrokerCredentials, RabbitMqBroker, RabbitMqConsumer, RabbitMqOptions};
use crate::received::Received;
use crate::replies::Replies;
use crate::state::{ConnectionState, Depths};
use bytes::Bytes;
use std::collections::HashSet;
use std::time::Duration;
use tokio::sync::watch;

/// A durable queue with delays and dead letters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Broker(BrokerAdapter);

#[derive(Clone, Debug)]
enum BrokerAdapter {
    RabbitMq(RabbitMqBroker),
    Embedded(EmbeddedBroker),
}

/// Delivers the messages of one queue, across reconnects.
#[derive(Debug)]
pub struct Consumer(ConsumerAdapter);

#[derive(Debug)]
enum ConsumerAdapter {
    RabbitMq(Box<RabbitMqConsumer>),
    Embedded(EmbeddedConsumer),
}

/// A point in the order of publishes: what is published later is not removed by
/// [`Broker::remove_waiting`].
#[derive(Clone, Copy, Debug)]
pub struct PublishMark(i64);

/// The result of [`Broker::remove_waiting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// So many messages were removed. One that is being delivered is not among them.
    Removed(u32),
    /// The broker cannot remove a message that waits, or could not now.
    NotPossible,
}

impl Broker {
    /// Starts connecting to RabbitMQ in the background, and keeps trying without end.
    ///
    /// # Errors
    /// A sentence when the options cannot be used. An unreachable broker is not an error: see
    /// [`Broker::publishing`].
    pub fn start(options: RabbitMqOptions) -> Result<Self, String> {
        RabbitMqBroker::start(options)
            .map(BrokerAdapter::RabbitMq)
            .map(Self)
    }

    /// Opens the embedded store in a data directory.
    ///
    /// # Errors
    /// A sentence naming the directory, when it cannot be used or another process uses it.
    pub fn open(options: &EmbeddedOptions) -> Result<Self, String> {
        EmbeddedBroker::open(options)
            .map(BrokerAdapter::Embedded)
            .map(Self)
    }

    /// The clock of the embedded store, which does not follow a wall clock that is set.
    pub fn store_clock(&self) -> Option<StoreClock> {
        match &self.0 {
            BrokerAdapter::RabbitMq(_) => None,
            BrokerAdapter::Embedded(embedded) => Some(embedded.clock()),
        }
    }

    /// Sets the users and passwords of new connections to RabbitMQ. Those that are open stay; the
    /// embedded store has none.
    pub fn set_credentials(&self, credentials: BrokerCredentials) {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.set_credentials(credentials),
            BrokerAdapter::Embedded(_) => {}
        }
    }

    /// Publishes a new message to the queue of first attempts.
    ///
    /// # Errors
    /// [`PublishError`]: refused (never written), or unknown. `Ok` means durable. The embedded store
    /// refuses new messages while its disk is low on space; follow-ups and records go on.
    pub async fn publish(&self, message: BrokerMessage) -> Result<(), PublishError> {
        self.publish_to(Route::First, message).await
    }

    /// Publishes a new message that becomes due in the retry queue after `delay`, never earlier.
    ///
    /// A delay beyond [`MAX_DELAY`](crate::rabbitmq::MAX_DELAY) may be cut to it: the message must
    /// carry its own due time, so that the receiver can reschedule it.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_later(
        &self,
        message: BrokerMessage,
        delay: Duration,
    ) -> Result<(), PublishError> {
        self.publish_to(Route::Later(delay), message).await
    }

    /// Publishes a batch of records for the journal, on a connection of its own.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_record(&self, message: BrokerMessage) -> Result<(), PublishError> {
        self.publish_to(Route::Record, message).await
    }

    async fn publish_to(&self, route: Route, message: BrokerMessage) -> Result<(), PublishError> {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.publish(&route, message).await,
            BrokerAdapter::Embedded(embedded) => embedded.publish(&route, message).await,
        }
    }

    /// Marks the present point in the order of publishes.
    pub fn publish_mark(&self) -> PublishMark {
        PublishMark(match &self.0 {
            BrokerAdapter::RabbitMq(_) => 0,
            BrokerAdapter::Embedded(embedded) => embedded.durable_number(),
        })
    }

    /// Removes the messages with this [id](BrokerMessage::id) that wait for a delay or for a free
    /// consumer of the retry queue, if they were published before `mark`.
    ///
    /// The caller takes the mark before it decides that they are not wanted: so a message that is
    /// published after that decision stays. Their space is used for new messages. Only the embedded
    /// store can do this.
    pub async fn remove_waiting(&self, id: String, mark: PublishMark) -> Removal {
        let removed = match &self.0 {
            BrokerAdapter::RabbitMq(_) => None,
            BrokerAdapter::Embedded(embedded) => embedded.remove_waiting(id, mark.0).await,
        };
        removed.map_or(Removal::NotPossible, Removal::Removed)
    }

    /// Which of these [ids](BrokerMessage::id) the messages of all queues have, those in flight
    /// included. Reads them beside the store's work, all at one time after the call.
    ///
    /// `None`: the broker cannot tell, or could not now. Only the embedded store can.
    pub async fn held_ids(&self, ids: Vec<String>) -> Option<HashSet<String>> {
        match &self.0 {
            BrokerAdapter::RabbitMq(_) => None,
            BrokerAdapter::Embedded(embedded) => embedded.held_ids(ids).await,
        }
    }

    /// Reads a queue with at most `prefetch` unsettled messages at a time.
    pub fn consume(&self, queue: Queue, prefetch: u16) -> Consumer {
        Consumer(match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => {
                ConsumerAdapter::RabbitMq(Box::new(rabbitmq.consume(queue, prefetch)))
            }
            BrokerAdapter::Embedded(embedded) => {
                ConsumerAdapter::Embedded(embedded.consume(queue, prefetch))
            }
        })
    }

    /// Listens for replies at a new address, which the requester sends along with its request.
    ///
    /// Replies are best effort: one may be lost, and is dropped when it is not read in time.
    pub fn replies(&self) -> Replies {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.replies(),
            BrokerAdapter::Embedded(embedded) => embedded.replies(),
        }
    }

    /// Sends a reply to the listener at `address`. Returns at once; the reply is dropped when there
    /// is no listener, no connection, or the outbox is full.
    pub fn reply(&self, address: String, reply: Bytes) {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.reply(address, reply),
            BrokerAdapter::Embedded(embedded) => embedded.reply(&address, &reply),
        }
    }

    /// Listens for what is sent to all processes of the gateway, and for replies to this listener.
    /// One for each process; with RabbitMQ on a connection of its own, which nothing waits for.
    pub fn control(&self) -> Control {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.control(),
            BrokerAdapter::Embedded(embedded) => embedded.control(),
        }
    }

    /// The state of the connection that publishes callbacks. Of the embedded store: whether it accepts new
    /// messages.
    pub fn publishing(&self) -> watch::Receiver<ConnectionState> {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.publishing(),
            BrokerAdapter::Embedded(embedded) => embedded.accepting(),
        }
    }

    /// The free bytes of the embedded store's disk, where they are known. `None` with RabbitMQ.
    pub fn free_disk_bytes(&self) -> Option<watch::Receiver<Option<u64>>> {
        match &self.0 {
            BrokerAdapter::RabbitMq(_) => None,
            BrokerAdapter::Embedded(embedded) => Some(embedded.free_disk()),
        }
    }

    /// The state of the connection that consumes callbacks, or of the embedded store's disk. The first call opens
    /// that connection.
    pub fn consuming(&self) -> watch::Receiver<ConnectionState> {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.consuming(),
            BrokerAdapter::Embedded(embedded) => embedded.state(),
        }
    }

    /// The state of the connection that publishes records. The first call opens it. `None`: the
    /// embedded store has no such connection.
    pub fn publishing_records(&self) -> Option<watch::Receiver<ConnectionState>> {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => Some(rabbitmq.publishing_records()),
            BrokerAdapter::Embedded(_) => None,
        }
    }

    /// The state of the connection that consumes the journal's queue, as
    /// [`Broker::publishing_records`].
    pub fn consuming_records(&self) -> Option<watch::Receiver<ConnectionState>> {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => Some(rabbitmq.consuming_records()),
            BrokerAdapter::Embedded(_) => None,
        }
    }

    /// What is wrong with single queues and exchanges while the connections are up. `None` of the
    /// embedded store: its faults concern it as a whole.
    pub fn faults(&self) -> Option<watch::Receiver<BrokerFaults>> {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => Some(rabbitmq.faults()),
            BrokerAdapter::Embedded(_) => None,
        }
    }

    /// Has this called for each publish that has become durable, with the queue it was for (one of
    /// [`CONFIRM_QUEUES`](crate::CONFIRM_QUEUES)) and how long that took. Call it once. The embedded
    /// store's follow-ups are part of its settlements, and not told.
    pub fn observe_confirms(
        &self,
        observe: impl Fn(&'static str, Duration) + Send + Sync + 'static,
    ) {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.observe_confirms(observe),
            BrokerAdapter::Embedded(embedded) => embedded.observe_confirms(observe),
        }
    }

    /// What waits in every queue. The work queues are refreshed about once a second; with RabbitMQ
    /// the sum of the delay queues every few seconds.
    pub fn depths(&self) -> watch::Receiver<Depths> {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.depths(),
            BrokerAdapter::Embedded(embedded) => embedded.depths(),
        }
    }

    /// Closes all connections, or the store. The owners of consumers close those first.
    pub async fn close(&self) {
        match &self.0 {
            BrokerAdapter::RabbitMq(rabbitmq) => rabbitmq.close().await,
            BrokerAdapter::Embedded(embedded) => embedded.close().await,
        }
    }
}

impl Consumer {
    /// The next message; waits while there is none, or no connection.
    ///
    /// Delivers nothing while follow-ups cannot be published: an attempt whose outcome cannot be
    /// made durable would only be repeated. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Received {
        match &mut self.0 {
            ConsumerAdapter::RabbitMq(consumer) => consumer.next().await,
            ConsumerAdapter::Embedded(consumer) => consumer.next().await,
        }
    }

    /// Stops taking messages: what was prefetched and not delivered returns to the queue.
    ///
    /// Delivered messages can still be settled; call [`Consumer::close`] after that.
    pub async fn cancel(&mut self) {
        match &mut self.0 {
            ConsumerAdapter::RabbitMq(consumer) => consumer.cancel().await,
            ConsumerAdapter::Embedded(consumer) => consumer.cancel(),
        }
    }

    /// Waits until every settlement is written, then closes the channel. What is still unsettled
    /// returns to the queue.
    pub async fn close(self) {
        match self.0 {
            ConsumerAdapter::RabbitMq(consumer) => consumer.close().await,
            ConsumerAdapter::Embedded(consumer) => consumer.close().await,
        }
    }
}
