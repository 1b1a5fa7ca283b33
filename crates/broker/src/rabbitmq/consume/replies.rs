//! Best-effort replies from one process to another that waits for them.

use crate::rabbitmq::best_effort::{Addressed, FailureWords, ListenersQueue, receive, send};
use crate::rabbitmq::connection::ManagedConnection;
use crate::rabbitmq::topology::objects::Topology;
use crate::replies::{MAX_UNREAD_REPLIES, Replies};
use lapin::Channel;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Replies that wait to be written. When it is full, further ones are dropped.
const MAX_OUTBOX: usize = 4_096;

/// Listens at a new address on every connection, until the replies are dropped.
pub(in crate::rabbitmq) fn listen(
    connection: ManagedConnection,
    topology: Arc<Topology>,
) -> Replies {
    let (address_sender, address) = watch::channel(None);
    let (replies, inbox) = mpsc::channel(MAX_UNREAD_REPLIES);
    let words = FailureWords("replies cannot be received");
    let queue = ReplyQueue(topology);
    tokio::spawn(receive(connection, queue, address_sender, replies, words));
    Replies { address, inbox }
}

struct ReplyQueue(Arc<Topology>);

impl ListenersQueue for ReplyQueue {
    const TAG: &'static str = "replies";

    fn name(&self) -> String {
        // Each process has new random seeds, which is random enough here.
        let random = RandomState::new().hash_one(self.0.reply_exchange());
        self.0.reply_queue(random)
    }

    async fn declare(&self, channel: &Channel, name: &str) -> lapin::Result<()> {
        self.0.declare_reply_queue(channel, name).await
    }
}

/// Starts the task that writes replies, each to the queue of this name.
pub(in crate::rabbitmq) fn start_sender(
    connection: ManagedConnection,
    topology: &Topology,
) -> mpsc::Sender<Addressed> {
    let exchange = topology.reply_exchange();
    let (sender, outbox) = mpsc::channel(MAX_OUTBOX);
    let words = FailureWords("replies cannot be sent");
    tokio::spawn(send(connection, exchange, outbox, words));
    sender
}
