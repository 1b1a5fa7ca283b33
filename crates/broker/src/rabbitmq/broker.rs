//! The adapter's entry point: two connections, a publisher, and consumers on demand.

use super::connection::{ConnectionRole, ManagedConnection};
use super::consume::consumer::RabbitMqConsumer;
use super::consume::{depths, replies};
use super::options::RabbitMqOptions;
use super::publish::publisher::Publisher;
use super::topology::objects::Topology;
use crate::message::{BrokerMessage, Queue, Route};
use crate::publish_error::PublishError;
use crate::replies::Replies;
use crate::state::{ConnectionState, Depths};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, watch};

/// The maximum length of an AMQP name (a short string). A longer one would corrupt its frame.
const MAX_NAME_BYTES: usize = 255;

/// The gateway's side of a RabbitMQ broker. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RabbitMqBroker(Arc<RabbitMqInner>);

#[derive(Debug)]
struct RabbitMqInner {
    options: Arc<RabbitMqOptions>,
    topology: Arc<Topology>,
    publish_connection: ManagedConnection,
    publisher: Publisher,
    /// A separate connection: a blocked publishing connection writes nothing, not even acks.
    consume_connection: OnceLock<ManagedConnection>,
    reply_outbox: mpsc::Sender<replies::AddressedReply>,
    depths: watch::Receiver<Depths>,
}

impl RabbitMqBroker {
    pub(crate) fn start(options: RabbitMqOptions) -> Result<Self, String> {
        if options.publish_channels == 0 {
            return Err("at least one publish channel is needed".to_owned());
        }
        let options = Arc::new(options);
        let topology = Arc::new(Topology::new(&options.prefix));
        let publish_connection = ManagedConnection::start(
            Arc::clone(&options),
            Arc::clone(&topology),
            ConnectionRole::Publish,
        );
        let publisher = Publisher::start(
            publish_connection.clone(),
            Arc::clone(&topology),
            options.publish_timeout,
            options.publish_channels,
        );
        let (depths_sender, depths) = watch::channel(Depths::default());
        tokio::spawn(depths::watch_depths(
            publish_connection.clone(),
            Arc::clone(&topology),
            depths_sender,
        ));
        let reply_outbox = replies::start_sender(publish_connection.clone(), &topology);
        Ok(Self(Arc::new(RabbitMqInner {
            options,
            topology,
            publish_connection,
            publisher,
            consume_connection: OnceLock::new(),
            reply_outbox,
            depths,
        })))
    }

    pub(crate) async fn publish(
        &self,
        route: &Route,
        message: BrokerMessage,
    ) -> Result<(), PublishError> {
        self.0.publisher.publish(route, message).await
    }

    pub(crate) fn consume(&self, queue: Queue, prefetch: u16) -> RabbitMqConsumer {
        RabbitMqConsumer::new(
            self.consume_connection().clone(),
            self.0.publisher.clone(),
            queue,
            self.0.topology.queue_name(queue),
            prefetch,
        )
    }

    fn consume_connection(&self) -> &ManagedConnection {
        self.0.consume_connection.get_or_init(|| {
            ManagedConnection::start(
                Arc::clone(&self.0.options),
                Arc::clone(&self.0.topology),
                ConnectionRole::Consume,
            )
        })
    }

    pub(crate) fn replies(&self) -> Replies {
        // On the publishing connection: a requester has it anyway, and a blocked connection still
        // receives.
        replies::listen(
            self.0.publish_connection.clone(),
            Arc::clone(&self.0.topology),
        )
    }

    pub(crate) fn reply(&self, address: String, reply: Bytes) {
        if address.len() <= MAX_NAME_BYTES {
            // Dropped when the outbox is full or closed.
            let _ = self.0.reply_outbox.try_send((address, reply));
        }
    }

    pub(crate) fn publishing(&self) -> watch::Receiver<ConnectionState> {
        self.0.publish_connection.state()
    }

    pub(crate) fn consuming(&self) -> watch::Receiver<ConnectionState> {
        self.consume_connection().state()
    }

    pub(crate) fn depths(&self) -> watch::Receiver<Depths> {
        self.0.depths.clone()
    }

    pub(crate) async fn close(&self) {
        if let Some(connection) = self.0.consume_connection.get() {
            connection.close().await;
        }
        self.0.publish_connection.close().await;
    }
}
