//! Best-effort replies from one process to another that waits for them.
//!
//! They are neither durable nor confirmed, and use separate channels: a fault here delays no work
//! and cannot mix up publisher confirms. The listener's queue is deleted with its connection, so
//! each connection has a new address.

use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::rabbitmq::topology::objects::Topology;
use crate::replies::{MAX_UNREAD_REPLIES, Replies};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Consumer};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Replies that wait to be written. When it is full, further ones are dropped.
const MAX_OUTBOX: usize = 4_096;
/// Replies written at a time.
const MAX_BATCH: usize = 256;
/// A batch that is not written within this time is abandoned.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// The usual cause is a missing permission, which takes a person to grant.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Between two warnings of the same loop.
const WARN_INTERVAL: Duration = Duration::from_secs(60);
/// For declaring, binding and consuming a listener's queue. Binding can hang while a node of the
/// cluster is silent.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const TRANSIENT: u8 = 1;

/// The name of the listener's queue, and the reply.
pub(in crate::rabbitmq) type AddressedReply = (String, Bytes);

/// Listens at a new address on every connection, until the replies are dropped.
pub(in crate::rabbitmq) fn listen(
    connection: ManagedConnection,
    topology: Arc<Topology>,
) -> Replies {
    let (address_sender, address) = watch::channel(None);
    let (replies, inbox) = mpsc::channel(MAX_UNREAD_REPLIES);
    tokio::spawn(async move {
        let mut failing = Failing::default();
        while let Some(session) = connection.session().await {
            let receiving = receive_replies(&session, &topology, &address_sender, &replies);
            let failed = tokio::select! {
                () = session.down.cancelled() => None,
                () = replies.closed() => return,
                failed = receiving => Some(failed),
            };
            let listened = address_sender.send_replace(None).is_some();
            if let Some(error) = failed {
                // The connection stays up: publishing does not depend on replies.
                match failing.is_news(listened) {
                    true => tracing::warn!(error, "replies cannot be received; trying again"),
                    false => tracing::debug!(error, "replies cannot be received; trying again"),
                }
                wait_to_retry(&session).await;
            }
        }
    });
    Replies { address, inbox }
}

/// Declares the listener's queue and forwards what arrives in it. Returns why that ended.
async fn receive_replies(
    session: &Session,
    topology: &Topology,
    address: &watch::Sender<Option<String>>,
    replies: &mpsc::Sender<Bytes>,
) -> String {
    // Each process has new random seeds, which is random enough here.
    let random = RandomState::new().hash_one(topology.reply_exchange());
    let name = topology.reply_queue(random);
    let open = async {
        let channel = session.connection.create_channel().await?;
        topology.declare_reply_queue(&channel, &name).await?;
        consume(channel, &name, "replies").await
    };
    forward(open, &name, address, replies).await
}

/// A consumer, with the channel that must live as long as it does.
pub(in crate::rabbitmq) type OpenConsumer = (Consumer, Channel);

/// Consumes a queue of this process alone. Its messages may be lost, so nothing is acknowledged.
pub(in crate::rabbitmq) async fn consume(
    channel: Channel,
    queue: &str,
    tag: &str,
) -> lapin::Result<OpenConsumer> {
    let options = BasicConsumeOptions {
        no_ack: true,
        exclusive: true,
        ..Default::default()
    };
    let consumer = channel.basic_consume(queue.into(), tag.into(), options, FieldTable::default());
    Ok((consumer.await?, channel))
}

/// Opens a consumer of the queue `name`, tells that it listens, and forwards what arrives. Returns why
/// that ended.
pub(in crate::rabbitmq) async fn forward(
    open: impl Future<Output = lapin::Result<OpenConsumer>>,
    name: &str,
    address: &watch::Sender<Option<String>>,
    inbox: &mpsc::Sender<Bytes>,
) -> String {
    let (mut deliveries, _channel) = match tokio::time::timeout(OPEN_TIMEOUT, open).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return error.to_string(),
        Err(_) => return "the broker does not answer in time".to_owned(),
    };
    address.send_replace(Some(name.to_owned()));
    loop {
        match deliveries.next().await {
            // Dropped when the inbox is full. lapin buffers without a bound, so waiting here would
            // bound nothing.
            Some(Ok(delivery)) => _ = inbox.try_send(delivery.data.into()),
            Some(Err(error)) => return error.to_string(),
            None => return "the broker ended the consumer".to_owned(),
        }
    }
}

/// Starts the task that writes replies. Its channel is opened with the first one.
pub(in crate::rabbitmq) fn start_sender(
    connection: ManagedConnection,
    topology: &Topology,
) -> mpsc::Sender<AddressedReply> {
    let exchange = topology.reply_exchange();
    let (sender, mut outbox) = mpsc::channel(MAX_OUTBOX);
    tokio::spawn(async move {
        let mut failing = Failing::default();
        while let Some(session) = connection.session().await {
            // Replies left from a lost connection are addressed to queues that may be gone.
            while outbox.try_recv().is_ok() {}
            let failed = tokio::select! {
                () = session.down.cancelled() => None,
                ended = send_replies(&session, &exchange, &mut outbox) => match ended {
                    Ok(()) => return,
                    Err(error) => Some(error),
                },
            };
            if let Some(error) = failed {
                match failing.is_news(false) {
                    true => tracing::warn!(%error, "replies cannot be sent; trying again"),
                    false => tracing::debug!(%error, "replies cannot be sent; trying again"),
                }
                wait_to_retry(&session).await;
            }
        }
    });
    sender
}

/// Which failure of a loop that goes on for ever is worth a warning: the first, and one a minute.
#[derive(Default)]
pub(in crate::rabbitmq) struct Failing {
    warned: Option<Instant>,
}

impl Failing {
    /// Notes a failure; `worked` in between.
    pub(in crate::rabbitmq) fn is_news(&mut self, worked: bool) -> bool {
        let recently = |warned: Instant| warned.elapsed() < WARN_INTERVAL;
        let news = worked || !self.warned.is_some_and(recently);
        if news {
            self.warned = Some(Instant::now());
        }
        news
    }
}

/// Writes replies until every sender is dropped.
async fn send_replies(
    session: &Session,
    exchange: &str,
    outbox: &mut mpsc::Receiver<AddressedReply>,
) -> lapin::Result<()> {
    let mut channel: Option<Channel> = None;
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while outbox.recv_many(&mut batch, MAX_BATCH).await > 0 {
        if session.is_blocked() {
            // They would be written when the block ends, which is too late for any listener.
            batch.clear();
            continue;
        }
        let channel = match &mut channel {
            Some(channel) => channel,
            none => none.insert(session.connection.create_channel().await?),
        };
        let mut writing: FuturesUnordered<_> = batch
            .drain(..)
            .map(|reply| send_reply(channel, exchange, reply))
            .collect();
        let written = async {
            while let Some(written) = writing.next().await {
                written?;
            }
            Ok(())
        };
        // A timeout is not a fault: an alarm may have begun, which the connection reports.
        tokio::time::timeout(WRITE_TIMEOUT, written)
            .await
            .unwrap_or(Ok::<_, lapin::Error>(()))?;
    }
    Ok(())
}

async fn send_reply(
    channel: &Channel,
    exchange: &str,
    (address, reply): AddressedReply,
) -> lapin::Result<()> {
    let properties = BasicProperties::default()
        .with_delivery_mode(TRANSIENT)
        .with_content_type("application/json".into());
    // Not mandatory: it does not matter that a listener has gone.
    let options = BasicPublishOptions::default();
    let (exchange, key) = (exchange.into(), address.as_str().into());
    channel
        .basic_publish(exchange, key, options, &reply, properties)
        .await
        .map(drop)
}

/// Waits before the next try, at most until the session ends.
pub(in crate::rabbitmq) async fn wait_to_retry(session: &Session) {
    let _ = tokio::time::timeout(RETRY_INTERVAL, session.down.cancelled()).await;
}
