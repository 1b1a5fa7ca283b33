//! How does an answer get from one process to another that waits for it, if it can?
//!
//! Not durable, not confirmed, on channels of its own: whatever happens here, no message that counts
//! is late by it, and no confirm is hung on the wrong one. An asker has a queue that dies with its
//! connection, and so a new address with every connection.

use super::link::{Link, Live};
use super::topology::Topology;
use crate::replies::{INBOX, Replies};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// Replies that wait to be written. Beyond it they are dropped.
const OUTBOX: usize = 4_096;
/// Replies written at a time.
const TOGETHER: usize = 256;
/// A connection that has not taken them by then has worse to do.
const WRITE_WITHIN: Duration = Duration::from_secs(1);
/// A right that is missing will not be there a moment later.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(5);
const TRANSIENT: u8 = 1;

/// A reply, and the name of the queue that it is for.
pub(super) type Addressed = (String, Bytes);

/// Listens under a new address on every connection, until the replies are dropped.
pub(super) fn listen(link: Link, topology: Arc<Topology>) -> Replies {
    let (address_sender, address) = watch::channel(None);
    let (replies, inbox) = mpsc::channel(INBOX);
    tokio::spawn(async move {
        while let Some(live) = link.up().await {
            let heard = hear(&live, &topology, &address_sender, &replies);
            let failed = tokio::select! {
                () = live.down.cancelled() => None,
                () = replies.closed() => return,
                failed = heard => Some(failed),
            };
            address_sender.send_replace(None);
            if let Some(error) = failed {
                // The connection is let be: publishing does not depend on this.
                tracing::warn!(error, "no replies can be heard; trying again");
                rest(&live).await;
            }
        }
    });
    Replies { address, inbox }
}

/// Makes a queue and hears what comes into it. Returns why that ended.
async fn hear(
    live: &Live,
    topology: &Topology,
    address: &watch::Sender<Option<String>>,
    replies: &mpsc::Sender<Bytes>,
) -> String {
    // Its seeds are drawn anew in each process: that is all the chance that is needed here.
    let name = topology.reply_queue(RandomState::new().hash_one(topology.replies()));
    let open = async {
        let channel = live.connection.create_channel().await?;
        topology.declare_reply_queue(&channel, &name).await?;
        // What is lost is lost: nothing is acknowledged.
        let options = BasicConsumeOptions {
            no_ack: true,
            exclusive: true,
            ..Default::default()
        };
        let (queue, none) = (name.as_str().into(), FieldTable::default());
        let consumer = channel.basic_consume(queue, "replies".into(), options, none);
        // The channel must live as long as its consumer.
        Ok::<_, lapin::Error>((consumer.await?, channel))
    };
    let (mut deliveries, _channel) = match open.await {
        Ok(opened) => opened,
        Err(error) => return error.to_string(),
    };
    address.send_replace(Some(name));
    loop {
        match deliveries.next().await {
            // A full inbox drops it. lapin buffers without a bound, so that waiting here would not
            // bound anything.
            Some(Ok(delivery)) => _ = replies.try_send(delivery.data.into()),
            Some(Err(error)) => return error.to_string(),
            None => return "the broker ended the consumer".to_owned(),
        }
    }
}

/// Starts the task that writes replies. Its channel is opened with the first one.
pub(super) fn answer(link: Link, topology: &Topology) -> mpsc::Sender<Addressed> {
    let exchange = topology.replies();
    let (sender, mut outbox) = mpsc::channel(OUTBOX);
    tokio::spawn(async move {
        while let Some(live) = link.up().await {
            // What was left over a lost connection is addressed to queues that died with theirs.
            while outbox.try_recv().is_ok() {}
            let failed = tokio::select! {
                () = live.down.cancelled() => None,
                ended = write_all(&live, &exchange, &mut outbox) => match ended {
                    Ok(()) => return,
                    Err(error) => Some(error),
                },
            };
            if let Some(error) = failed {
                tracing::warn!(%error, "no replies can be sent; trying again");
                rest(&live).await;
            }
        }
    });
    sender
}

/// Writes until nobody is left who could reply.
async fn write_all(
    live: &Live,
    exchange: &str,
    outbox: &mut mpsc::Receiver<Addressed>,
) -> lapin::Result<()> {
    let mut channel: Option<Channel> = None;
    let mut batch = Vec::with_capacity(TOGETHER);
    while outbox.recv_many(&mut batch, TOGETHER).await > 0 {
        if live.blocked() {
            // It would be written when the block ends, and nobody waits that long.
            batch.clear();
            continue;
        }
        let channel = match &mut channel {
            Some(channel) => channel,
            none => none.insert(live.connection.create_channel().await?),
        };
        let mut writing: FuturesUnordered<_> = batch
            .drain(..)
            .map(|reply| write(channel, exchange, reply))
            .collect();
        let written = async {
            while let Some(written) = writing.next().await {
                written?;
            }
            Ok(())
        };
        // Too late is no fault: an alarm may have begun, and the connection tells of it.
        tokio::time::timeout(WRITE_WITHIN, written)
            .await
            .unwrap_or(Ok::<_, lapin::Error>(()))?;
    }
    Ok(())
}

async fn write(
    channel: &Channel,
    exchange: &str,
    (address, reply): Addressed,
) -> lapin::Result<()> {
    let properties = BasicProperties::default()
        .with_delivery_mode(TRANSIENT)
        .with_content_type("application/json".into());
    // Not mandatory: nobody wants to hear that an asker has gone.
    let options = BasicPublishOptions::default();
    let (exchange, key) = (exchange.into(), address.as_str().into());
    channel
        .basic_publish(exchange, key, options, &reply, properties)
        .await
        .map(drop)
}

/// Waits before the next try, as long as this connection stands.
async fn rest(live: &Live) {
    let _ = tokio::time::timeout(TRY_AGAIN_AFTER, live.down.cancelled()).await;
}
