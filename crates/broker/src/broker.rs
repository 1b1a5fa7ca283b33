//! What can the rest of the program ask of the broker, whichever adapter it is?

use crate::embedded::{self, Embedded};
use crate::rabbitmq::{self, RabbitMq};
use crate::route::Route;
use crate::{Depths, Lane, Message, PublishError, Received, Replies, State};
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::watch;

/// A durable queue with delay and dead letters. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Broker(Adapter);

#[derive(Clone, Debug)]
enum Adapter {
    RabbitMq(RabbitMq),
    Embedded(Embedded),
}

/// Hands out the messages of one lane, across reconnects.
#[derive(Debug)]
pub struct Consumer(AnyConsumer);

#[derive(Debug)]
enum AnyConsumer {
    RabbitMq(Box<rabbitmq::Consumer>),
    Embedded(embedded::Consumer),
}

impl Broker {
    /// Starts connecting to RabbitMQ, in the background and for ever.
    ///
    /// # Errors
    /// A sentence when the settings cannot be used at all. A broker that is not there is no error:
    /// see [`Broker::publishing`].
    pub fn start(settings: rabbitmq::Settings) -> Result<Self, String> {
        RabbitMq::start(settings).map(Adapter::RabbitMq).map(Self)
    }

    /// Opens the embedded store of a data directory.
    ///
    /// # Errors
    /// A sentence naming the directory, when it cannot be used or another process uses it.
    pub fn open(settings: &embedded::Settings) -> Result<Self, String> {
        Embedded::open(settings).map(Adapter::Embedded).map(Self)
    }

    /// Publishes to the lane of first attempts.
    ///
    /// # Errors
    /// [`PublishError`]: refused (never written), or unknown. `Ok` means durable.
    pub async fn publish(&self, message: Message) -> Result<(), PublishError> {
        self.route(Route::First, message).await
    }

    /// Publishes a message that comes out of the retry lane after `delay`, never earlier.
    ///
    /// A delay beyond [`rabbitmq::LONGEST_DELAY`] may be cut to it: the message must carry its own
    /// due time and go round again.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_later(
        &self,
        message: Message,
        delay: Duration,
    ) -> Result<(), PublishError> {
        self.route(Route::Later(delay), message).await
    }

    /// Publishes a batch of records on its way to the journal.
    ///
    /// # Errors
    /// As [`Broker::publish`].
    pub async fn publish_record(&self, message: Message) -> Result<(), PublishError> {
        self.route(Route::Record, message).await
    }

    async fn route(&self, route: Route, message: Message) -> Result<(), PublishError> {
        match &self.0 {
            Adapter::RabbitMq(rabbit) => rabbit.publish(&route, message).await,
            Adapter::Embedded(embedded) => embedded.publish(&route, message).await,
        }
    }

    /// Reads a lane with at most `prefetch` messages in hand at a time.
    pub fn consume(&self, lane: Lane, prefetch: u16) -> Consumer {
        Consumer(match &self.0 {
            Adapter::RabbitMq(rabbit) => {
                AnyConsumer::RabbitMq(Box::new(rabbit.consume(lane, prefetch)))
            }
            Adapter::Embedded(store) => AnyConsumer::Embedded(store.consume(lane, prefetch)),
        })
    }

    /// Listens for replies under an address of its own, which travels with what is asked.
    ///
    /// A reply is a courtesy: it may be lost, and is dropped when it is not taken in time.
    pub fn replies(&self) -> Replies {
        match &self.0 {
            Adapter::RabbitMq(rabbit) => rabbit.replies(),
            Adapter::Embedded(embedded) => embedded.replies(),
        }
    }

    /// Replies to whoever listens at `address`. Returns at once; the reply is dropped when there is
    /// nobody, no connection, or too much on the way.
    pub fn reply(&self, address: String, reply: Bytes) {
        match &self.0 {
            Adapter::RabbitMq(rabbit) => rabbit.reply(address, reply),
            Adapter::Embedded(embedded) => embedded.reply(&address, &reply),
        }
    }

    /// The state of the connection that publishes, or of the embedded store's disk.
    pub fn publishing(&self) -> watch::Receiver<State> {
        match &self.0 {
            Adapter::RabbitMq(rabbit) => rabbit.publishing(),
            Adapter::Embedded(embedded) => embedded.state(),
        }
    }

    /// The state of the connection that consumes; it is made when first asked for.
    pub fn consuming(&self) -> watch::Receiver<State> {
        match &self.0 {
            Adapter::RabbitMq(rabbit) => rabbit.consuming(),
            Adapter::Embedded(embedded) => embedded.state(),
        }
    }

    /// The depth of every lane, seen about once a second.
    pub fn depths(&self) -> watch::Receiver<Depths> {
        match &self.0 {
            Adapter::RabbitMq(rabbit) => rabbit.depths(),
            Adapter::Embedded(embedded) => embedded.depths(),
        }
    }

    /// Ends all connections, or closes the store. Consumers are closed first, by their owners.
    pub async fn close(&self) {
        match &self.0 {
            Adapter::RabbitMq(rabbit) => rabbit.close().await,
            Adapter::Embedded(embedded) => embedded.close().await,
        }
    }
}

impl Consumer {
    /// The next message; waits as long as there is none, or no connection.
    ///
    /// While follow-ups cannot be published nothing is handed out: an attempt whose outcome cannot
    /// be written down would only be repeated. Cancelling the wait loses nothing.
    pub async fn next(&mut self) -> Received {
        match &mut self.0 {
            AnyConsumer::RabbitMq(consumer) => consumer.next().await,
            AnyConsumer::Embedded(consumer) => consumer.next().await,
        }
    }

    /// Stops taking messages: what was prefetched and not handed out returns to the queue.
    ///
    /// Messages in hand can still be settled; call [`Consumer::close`] after that.
    pub async fn cancel(&mut self) {
        match &mut self.0 {
            AnyConsumer::RabbitMq(consumer) => consumer.cancel().await,
            AnyConsumer::Embedded(consumer) => consumer.cancel(),
        }
    }

    /// Waits until every settlement is written, then ends the channel. What is still unsettled
    /// returns to the queue.
    pub async fn close(self) {
        match self.0 {
            AnyConsumer::RabbitMq(consumer) => consumer.close().await,
            AnyConsumer::Embedded(consumer) => consumer.close().await,
        }
    }
}
