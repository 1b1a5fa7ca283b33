//! The adapter's entry point: its connections, their publishers, and consumers on demand.
//!
//! Records of the journal have connections of their own. A journal queue that is away ends those by
//! its missing confirms, by the end of its consumer, or by RabbitMQ's consumer timeout; callbacks
//! must not notice.

use super::best_effort::Addressed;
use super::connection::{ConnectionRole, ManagedConnection};
use super::consume::consumer::RabbitMqConsumer;
use super::consume::{depths, replies};
use super::control;
use super::credentials::BrokerCredentials;
use super::options::RabbitMqOptions;
use super::publish::publisher::Publisher;
use super::topology::keeper;
use super::topology::objects::Topology;
use crate::control::Control;
use crate::faults::BrokerFaults;
use crate::message::{BrokerMessage, Queue, Route};
use crate::publish_error::PublishError;
use crate::replies::Replies;
use crate::state::{ConnectionState, Depths};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The maximum length of an AMQP name (a short string). A longer one would corrupt its frame.
const MAX_NAME_BYTES: usize = 255;

/// Records come in few and large messages.
const RECORD_CHANNELS: usize = 1;

/// The gateway's side of a RabbitMQ broker. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct RabbitMqBroker(Arc<RabbitMqInner>);

#[derive(Debug)]
struct RabbitMqInner {
    options: Arc<RabbitMqOptions>,
    topology: Arc<Topology>,
    publish_connection: ManagedConnection,
    /// To another node, where there is one.
    publish_elsewhere: Option<ManagedConnection>,
    publisher: Publisher,
    /// A separate connection: a blocked publishing connection writes nothing, not even acks.
    consume_connection: OnceLock<ManagedConnection>,
    /// Opened by the first use: not every process has a journal.
    record_publisher: OnceLock<(ManagedConnection, Publisher)>,
    record_consume_connection: OnceLock<ManagedConnection>,
    /// Opened after the publishing connection.
    control_connection: OnceLock<ManagedConnection>,
    reply_outbox: mpsc::Sender<Addressed>,
    depths: watch::Receiver<Depths>,
}

impl RabbitMqBroker {
    /// Sets the users and passwords of new connections.
    pub(crate) fn set_credentials(&self, credentials: BrokerCredentials) {
        self.0.options.credentials.set(credentials);
    }

    pub(crate) fn start(mut options: RabbitMqOptions) -> Result<Self, String> {
        if options.publish_channels == 0 {
            return Err("at least one publish channel is needed".to_owned());
        }
        options.monitor = Arc::default();
        options.credentials = Arc::default();
        let options = Arc::new(options);
        let topology = Arc::new(Topology::new(&options.prefix));
        let publish_connection = ManagedConnection::start(
            Arc::clone(&options),
            Arc::clone(&topology),
            ConnectionRole::Publish,
        );
        let elsewhere = || {
            let (options, topology) = (Arc::clone(&options), Arc::clone(&topology));
            ManagedConnection::start(options, topology, ConnectionRole::PublishElsewhere)
        };
        let publish_elsewhere = (options.nodes.len() > 1).then(elsewhere);
        let connections = [&publish_connection].into_iter().chain(&publish_elsewhere);
        let publisher = Publisher::start(
            connections.cloned().collect(),
            Arc::clone(&options.monitor),
            Arc::clone(&topology),
            options.publish_timeout,
            options.publish_channels,
        );
        tokio::spawn(keeper::keep(
            publish_connection.clone(),
            Arc::clone(&topology),
            options.declare,
        ));
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
            publish_elsewhere,
            publisher,
            consume_connection: OnceLock::new(),
            record_publisher: OnceLock::new(),
            record_consume_connection: OnceLock::new(),
            control_connection: OnceLock::new(),
            reply_outbox,
            depths,
        })))
    }

    pub(crate) async fn publish(
        &self,
        route: &Route,
        message: BrokerMessage,
    ) -> Result<(), PublishError> {
        let publisher = match route {
            Route::Record => &self.record_publisher().1,
            Route::First | Route::Later(_) | Route::Terminal(_) => &self.0.publisher,
        };
        publisher.publish(route, message).await
    }

    pub(crate) fn consume(&self, queue: Queue, prefetch: u16) -> RabbitMqConsumer {
        let (connection, publisher) = match queue {
            Queue::Journal => (self.record_consume_connection(), &self.record_publisher().1),
            Queue::First
            | Queue::Retry
            | Queue::DeliveryLimit
            | Queue::Unrouted
            | Queue::Dead
            | Queue::Unreadable => (self.consume_connection(), &self.0.publisher),
        };
        RabbitMqConsumer::new(
            connection.clone(),
            publisher.clone(),
            queue,
            self.0.topology.queue_name(queue),
            prefetch,
            self.0.depths.clone(),
        )
    }

    fn consume_connection(&self) -> &ManagedConnection {
        let start = || self.connect(ConnectionRole::Consume);
        self.0.consume_connection.get_or_init(start)
    }

    fn record_consume_connection(&self) -> &ManagedConnection {
        let start = || self.connect(ConnectionRole::ConsumeRecords);
        self.0.record_consume_connection.get_or_init(start)
    }

    fn record_publisher(&self) -> &(ManagedConnection, Publisher) {
        self.0.record_publisher.get_or_init(|| {
            let connection = self.connect(ConnectionRole::PublishRecords);
            let publisher = Publisher::start(
                vec![connection.clone()],
                Arc::clone(&self.0.options.monitor),
                Arc::clone(&self.0.topology),
                self.0.options.publish_timeout,
                RECORD_CHANNELS,
            );
            (connection, publisher)
        })
    }

    fn connect(&self, role: ConnectionRole) -> ManagedConnection {
        let (options, topology) = (&self.0.options, &self.0.topology);
        ManagedConnection::start(Arc::clone(options), Arc::clone(topology), role)
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

    pub(crate) fn control(&self) -> Control {
        let broker = self.clone();
        control::listen(
            self.0.publish_connection.clone(),
            Arc::clone(&self.0.topology),
            move || {
                let start = || broker.connect(ConnectionRole::Control);
                broker.0.control_connection.get_or_init(start).clone()
            },
        )
    }

    pub(crate) fn publishing(&self) -> watch::Receiver<ConnectionState> {
        self.0.publisher.state()
    }

    pub(crate) fn consuming(&self) -> watch::Receiver<ConnectionState> {
        self.consume_connection().state()
    }

    pub(crate) fn publishing_records(&self) -> watch::Receiver<ConnectionState> {
        self.record_publisher().0.state()
    }

    pub(crate) fn consuming_records(&self) -> watch::Receiver<ConnectionState> {
        self.record_consume_connection().state()
    }

    pub(crate) fn observe_confirms(
        &self,
        observe: impl Fn(&'static str, Duration) + Send + Sync + 'static,
    ) {
        self.0.options.monitor.confirms.set(observe);
    }

    pub(crate) fn faults(&self) -> watch::Receiver<BrokerFaults> {
        self.0.options.monitor.faults()
    }

    pub(crate) fn depths(&self) -> watch::Receiver<Depths> {
        self.0.depths.clone()
    }

    pub(crate) async fn close(&self) {
        let consuming = [
            &self.0.consume_connection,
            &self.0.record_consume_connection,
            &self.0.control_connection,
        ];
        for connection in consuming.into_iter().filter_map(OnceLock::get) {
            connection.close().await;
        }
        if let Some((connection, _)) = self.0.record_publisher.get() {
            connection.close().await;
        }
        if let Some(connection) = &self.0.publish_elsewhere {
            connection.close().await;
        }
        self.0.publish_connection.close().await;
    }
}
