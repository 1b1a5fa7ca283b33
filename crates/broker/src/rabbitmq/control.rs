//! Messages to all processes, and replies to this one, on a connection of its own.
//!
//! It is opened once callbacks can be published, and nothing waits for it: binding a queue can hang
//! while a node of the cluster is silent. Publishes are neither confirmed nor mandatory.

use super::connection::{ManagedConnection, Session};
use super::consume::replies::{Failing, consume, forward, wait_to_retry};
use super::topology::objects::Topology;
use crate::control::{Control, ControlRoute, ControlSender, MAX_UNREAD};
use bytes::Bytes;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Messages that wait to be written. When it is full, further ones are dropped.
const MAX_OUTBOX: usize = 256;
/// For one message.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

const TRANSIENT: u8 = 1;

/// Listens until the messages are dropped. `connect` opens the connection, or returns it if it is
/// open.
pub(super) fn listen(
    publishing: ManagedConnection,
    topology: Arc<Topology>,
    connect: impl FnOnce() -> ManagedConnection + Send + 'static,
) -> Control {
    let (address_sender, address) = watch::channel(None);
    let (inbox_sender, inbox) = mpsc::channel(MAX_UNREAD);
    let (outbox_sender, outbox) = mpsc::channel(MAX_OUTBOX);
    tokio::spawn(async move {
        tokio::select! {
            up = publishing.session() => if up.is_none() {
                return;
            },
            () = inbox_sender.closed() => return,
        }
        let connection = connect();
        let sending = send_again_and_again(connection.clone(), topology.control_exchange(), outbox);
        let receiving = receive_again_and_again(connection, topology, address_sender, inbox_sender);
        // Sending ends with the last sender, of which `Control` holds one; receiving with `Control`.
        tokio::join!(sending, receiving);
    });
    Control {
        address,
        inbox,
        sender: ControlSender(ControlRoute::RabbitMq(outbox_sender)),
    }
}

async fn receive_again_and_again(
    connection: ManagedConnection,
    topology: Arc<Topology>,
    address: watch::Sender<Option<String>>,
    inbox: mpsc::Sender<Bytes>,
) {
    let mut failing = Failing::default();
    while let Some(session) = connection.session().await {
        let failed = tokio::select! {
            () = session.down.cancelled() => None,
            () = inbox.closed() => return,
            failed = receive(&session, &topology, &address, &inbox) => Some(failed),
        };
        let listened = address.send_replace(None).is_some();
        if let Some(error) = failed {
            match failing.is_news(listened) {
                true => tracing::warn!(
                    error,
                    "this process cannot be asked for its state by others; trying again"
                ),
                false => tracing::debug!(error, "control messages cannot be received"),
            }
            wait_to_retry(&session).await;
        }
    }
}

/// Declares a queue and forwards what arrives in it. Returns why that ended.
async fn receive(
    session: &Session,
    topology: &Topology,
    address: &watch::Sender<Option<String>>,
    inbox: &mpsc::Sender<Bytes>,
) -> String {
    // Each process has new random seeds, which is random enough here.
    let random = RandomState::new().hash_one(topology.control_exchange());
    let name = topology.control_queue(random);
    let open = async {
        let channel = session.connection.create_channel().await?;
        topology.declare_control_queue(&channel, &name).await?;
        consume(channel, &name, "control").await
    };
    forward(open, &name, address, inbox).await
}

async fn send_again_and_again(
    connection: ManagedConnection,
    exchange: String,
    mut outbox: mpsc::Receiver<Bytes>,
) {
    let mut failing = Failing::default();
    while let Some(session) = connection.session().await {
        // What was sent while there was no connection is too old.
        while outbox.try_recv().is_ok() {}
        let failed = tokio::select! {
            () = session.down.cancelled() => None,
            ended = send(&session, &exchange, &mut outbox) => match ended {
                Ok(()) => return,
                Err(error) => Some(error),
            },
        };
        if let Some(error) = failed {
            match failing.is_news(false) {
                true => tracing::warn!(%error, "other processes cannot be asked; trying again"),
                false => tracing::debug!(%error, "control messages cannot be sent"),
            }
            wait_to_retry(&session).await;
        }
    }
}

/// Writes messages until every sender is dropped.
async fn send(
    session: &Session,
    exchange: &str,
    outbox: &mut mpsc::Receiver<Bytes>,
) -> lapin::Result<()> {
    let mut channel: Option<Channel> = None;
    while let Some(message) = outbox.recv().await {
        if session.is_blocked() {
            continue; // It would be written when the block ends, which is too late.
        }
        let channel = match &mut channel {
            Some(channel) => channel,
            none => none.insert(session.connection.create_channel().await?),
        };
        let properties = BasicProperties::default()
            .with_delivery_mode(TRANSIENT)
            .with_content_type("application/json".into());
        let options = BasicPublishOptions::default();
        let written =
            channel.basic_publish(exchange.into(), "".into(), options, &message, properties);
        // A timeout is not a fault: an alarm may have begun, which the connection reports.
        if let Ok(written) = tokio::time::timeout(WRITE_TIMEOUT, written).await {
            written?;
        }
    }
    Ok(())
}
