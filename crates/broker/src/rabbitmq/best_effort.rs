//! Messages between processes that may be lost: replies, and messages to all processes.
//!
//! They are neither durable nor confirmed nor mandatory, and use separate channels: a fault here
//! delays no work and cannot mix up publisher confirms. A listener's queue is deleted with its
//! connection, so each connection has a new address.

use crate::rabbitmq::connection::{ManagedConnection, Session};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Consumer};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Messages written at a time.
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

/// The routing key, and the message.
pub(super) type Addressed = (String, Bytes);

/// What a loop says when it fails. The connection stays up: publishing does not depend on it.
#[derive(Clone, Copy)]
pub(super) struct FailureWords(pub(super) &'static str);

/// A queue of one process, which is gone with its connection.
pub(super) trait ListenersQueue: Send + Sync {
    /// The tag of its consumer.
    const TAG: &'static str;

    /// A name that no other queue has.
    fn name(&self) -> String;

    /// Declares and binds it.
    fn declare(
        &self,
        channel: &Channel,
        name: &str,
    ) -> impl Future<Output = lapin::Result<()>> + Send;
}

/// Listens at a new address on every connection, until `inbox` is closed.
pub(super) async fn receive(
    connection: ManagedConnection,
    queue: impl ListenersQueue,
    address: watch::Sender<Option<String>>,
    inbox: mpsc::Sender<Bytes>,
    words: FailureWords,
) {
    let mut failing = Failing::default();
    while let Some(session) = connection.session().await {
        let failed = tokio::select! {
            () = session.down.cancelled() => None,
            () = inbox.closed() => return,
            failed = consume(&session, &queue, &address, &inbox) => Some(failed),
        };
        let listened = address.send_replace(None).is_some();
        if let Some(error) = failed {
            failing.tell(words, &error, listened);
            wait_to_retry(&session).await;
        }
    }
}

/// Declares a queue, tells that it listens, and forwards what arrives. Its messages may be lost, so
/// nothing is acknowledged. Returns why that ended.
async fn consume(
    session: &Session,
    queue: &impl ListenersQueue,
    address: &watch::Sender<Option<String>>,
    inbox: &mpsc::Sender<Bytes>,
) -> String {
    let name = queue.name();
    let open = open(session, queue, &name);
    // The channel must live as long as the consumer does.
    let (mut deliveries, _channel) = match tokio::time::timeout(OPEN_TIMEOUT, open).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return error.to_string(),
        Err(_) => return "the broker does not answer in time".to_owned(),
    };
    address.send_replace(Some(name));
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

async fn open<Q: ListenersQueue>(
    session: &Session,
    queue: &Q,
    name: &str,
) -> lapin::Result<(Consumer, Channel)> {
    let channel = session.connection.create_channel().await?;
    queue.declare(&channel, name).await?;
    let options = BasicConsumeOptions {
        no_ack: true,
        exclusive: true,
        ..Default::default()
    };
    let table = FieldTable::default();
    let consumer = channel.basic_consume(name.into(), Q::TAG.into(), options, table);
    Ok((consumer.await?, channel))
}

/// Publishes to `exchange` what comes out of `outbox`, until every sender is dropped. Its channel is
/// opened with the first message.
pub(super) async fn send(
    connection: ManagedConnection,
    exchange: String,
    mut outbox: mpsc::Receiver<Addressed>,
    words: FailureWords,
) {
    let mut failing = Failing::default();
    while let Some(session) = connection.session().await {
        // What is left from a lost connection is too old, or addressed to queues that may be gone.
        while outbox.try_recv().is_ok() {}
        let failed = tokio::select! {
            () = session.down.cancelled() => None,
            ended = write(&session, &exchange, &mut outbox) => match ended {
                Ok(()) => return,
                Err(error) => Some(error),
            },
        };
        if let Some(error) = failed {
            failing.tell(words, &error.to_string(), false);
            wait_to_retry(&session).await;
        }
    }
}

/// Writes messages until every sender is dropped.
async fn write(
    session: &Session,
    exchange: &str,
    outbox: &mut mpsc::Receiver<Addressed>,
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
            .map(|message| write_one(channel, exchange, message))
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

async fn write_one(
    channel: &Channel,
    exchange: &str,
    (key, message): Addressed,
) -> lapin::Result<()> {
    let properties = BasicProperties::default()
        .with_delivery_mode(TRANSIENT)
        .with_content_type("application/json".into());
    // Not mandatory: it does not matter that a listener has gone.
    let options = BasicPublishOptions::default();
    channel
        .basic_publish(
            exchange.into(),
            key.as_str().into(),
            options,
            &message,
            properties,
        )
        .await
        .map(drop)
}

/// Which failure of a loop that goes on for ever is worth a warning: the first, and one a minute.
#[derive(Default)]
struct Failing {
    warned: Option<Instant>,
}

impl Failing {
    /// Logs a failure; `worked` in between.
    fn tell(&mut self, FailureWords(what): FailureWords, error: &str, worked: bool) {
        let recently = |warned: Instant| warned.elapsed() < WARN_INTERVAL;
        let news = worked || !self.warned.is_some_and(recently);
        match news {
            true => tracing::warn!(error, "{what}; trying again"),
            false => tracing::debug!(error, "{what}; trying again"),
        }
        if news {
            self.warned = Some(Instant::now());
        }
    }
}

/// Waits before the next try, at most until the session ends.
async fn wait_to_retry(session: &Session) {
    let _ = tokio::time::timeout(RETRY_INTERVAL, session.down.cancelled()).await;
}
