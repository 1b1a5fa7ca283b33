//! Messages to all processes, and replies to this one, on a connection of its own.
//!
//! It is opened once callbacks can be published, and nothing waits for it: binding a queue can hang
//! while a node of the cluster is silent.

use super::best_effort::{FailureWords, ListenersQueue, receive, send};
use super::connection::ManagedConnection;
use super::topology::objects::Topology;
use crate::control::{Control, ControlRoute, ControlSender, MAX_UNREAD};
use lapin::Channel;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Messages that wait to be written. When it is full, further ones are dropped.
const MAX_OUTBOX: usize = 256;

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
        let exchange = topology.control_exchange();
        let unasked = FailureWords("other processes cannot be asked");
        let sending = send(connection.clone(), exchange, outbox, unasked);
        let deaf = FailureWords("this process cannot be asked for its state by others");
        let queue = ControlQueue(topology);
        let receiving = receive(connection, queue, address_sender, inbox_sender, deaf);
        // Sending ends with the last sender, of which `Control` holds one; receiving with `Control`.
        tokio::join!(sending, receiving);
    });
    Control {
        address,
        inbox,
        sender: ControlSender(ControlRoute::RabbitMq(outbox_sender)),
    }
}

struct ControlQueue(Arc<Topology>);

impl ListenersQueue for ControlQueue {
    const TAG: &'static str = "control";

    fn name(&self) -> String {
        // Each process has new random seeds, which is random enough here.
        let random = RandomState::new().hash_one(self.0.control_exchange());
        self.0.control_queue(random)
    }

    async fn declare(&self, channel: &Channel, name: &str) -> lapin::Result<()> {
        self.0.declare_control_queue(channel, name).await
    }
}
