//! The task that owns one confirm channel.

use crate::message::BrokerMessage;
use crate::publish_error::{PublishError, RefusedReason, UnknownReason};
use crate::rabbitmq::connection::Session;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// lapin scans all pending tags at each `multiple` confirm: more in flight costs more than it
/// gains.
const MAX_IN_FLIGHT: usize = 1_000;
const PERSISTENT: u8 = 2;

/// A message to publish, and the publisher that waits for the answer.
#[derive(Debug)]
pub(super) struct PublishRequest {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) message: BrokerMessage,
    /// When the publisher stops waiting; `None`: as long as the connection is up.
    pub(super) deadline: Option<Instant>,
    pub(super) reply: oneshot::Sender<Result<(), PublishError>>,
}

/// What the end of a publish says about the whole channel.
enum ChannelHealth {
    Healthy,
    Faulty(&'static str),
    Lost(lapin::Error),
}

/// Publishes requests until the session ends. Requests still in the inbox then were never written
/// and are refused; those in flight see their reply dropped, which means unknown.
pub(super) async fn run(
    channel: Channel,
    mut inbox: mpsc::Receiver<PublishRequest>,
    session: Arc<Session>,
) {
    let mut in_flight = FuturesUnordered::new();
    let mut batch = Vec::with_capacity(MAX_IN_FLIGHT);
    loop {
        let free = MAX_IN_FLIGHT - in_flight.len();
        tokio::select! {
            biased;
            () = session.down.cancelled() => break,
            Some(health) = in_flight.next(), if !in_flight.is_empty() => match health {
                ChannelHealth::Healthy => {}
                ChannelHealth::Faulty(reason) => session.fail(reason),
                ChannelHealth::Lost(error) => session.fail(error.to_string()),
            },
            received = inbox.recv_many(&mut batch, free), if free > 0 => {
                if received == 0 {
                    break;
                }
                for request in batch.drain(..) {
                    // First polled in this order and by this task only, which keeps the tag and
                    // the frame of each message together.
                    if let Some(request) = filter_publishable(request, &session) {
                        in_flight.push(publish(channel.clone(), request, Arc::clone(&session)));
                    }
                }
            }
        }
    }
    inbox.close();
    while let Some(request) = inbox.recv().await {
        let refused = PublishError::Refused(RefusedReason::NotConnected);
        let _ = request.reply.send(Err(refused));
    }
}

/// Passes a request that may be written now; refuses it otherwise.
fn filter_publishable(request: PublishRequest, session: &Session) -> Option<PublishRequest> {
    let refused = if request.reply.is_closed() {
        // The publisher stopped waiting, and nothing was written.
        return None;
    } else if session.is_blocked() {
        RefusedReason::Blocked
    } else if request
        .deadline
        .is_some_and(|deadline| deadline <= Instant::now())
    {
        RefusedReason::TooLate
    } else {
        return Some(request);
    };
    let _ = request.reply.send(Err(PublishError::Refused(refused)));
    None
}

async fn publish(
    channel: Channel,
    request: PublishRequest,
    session: Arc<Session>,
) -> ChannelHealth {
    let PublishRequest {
        exchange,
        routing_key,
        message,
        deadline,
        reply,
    } = request;
    let properties = properties(&message);
    let confirm = async {
        let options = BasicPublishOptions {
            mandatory: true,
            ..Default::default()
        };
        let (exchange, key) = (exchange.as_str().into(), routing_key.as_str().into());
        channel
            .basic_publish(exchange, key, options, &message.body, properties)
            .await?
            .await
    };
    tokio::pin!(confirm);
    let confirmed = match deadline {
        None => confirm.await,
        Some(deadline) => match tokio::time::timeout_at(deadline, &mut confirm).await {
            Ok(confirmed) => confirmed,
            Err(_) => {
                let _ = reply.send(Err(PublishError::Unknown(UnknownReason::Deadline)));
                if !session.is_blocked() {
                    // What lapin still buffers must not be written hours later.
                    return ChannelHealth::Faulty(
                        "a publish was not confirmed within its deadline",
                    );
                }
                // Blocked: the connection stays, because only it can report the end of the block.
                return match confirm.await {
                    Ok(_) => ChannelHealth::Healthy,
                    Err(error) => ChannelHealth::Lost(error),
                };
            }
        },
    };
    let (answer, health) = match confirmed {
        Ok(Confirmation::Ack(None)) => (Ok(()), ChannelHealth::Healthy),
        Ok(Confirmation::Nack(None)) => (Err(UnknownReason::Nacked), ChannelHealth::Healthy),
        // lapin may attach a return to the wrong message: no confirm in flight can be trusted.
        Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => (
            Err(UnknownReason::Returned),
            ChannelHealth::Faulty("the broker returned a message as unroutable"),
        ),
        Ok(Confirmation::NotRequested) => (
            Err(UnknownReason::ConnectionLost),
            ChannelHealth::Faulty("the channel is not in confirm mode"),
        ),
        Err(error) => (
            Err(UnknownReason::ConnectionLost),
            ChannelHealth::Lost(error),
        ),
    };
    // If the publisher has stopped waiting, the message is durable and delivered anyway.
    let _ = reply.send(answer.map_err(PublishError::Unknown));
    health
}

/// Builds new headers for every publish: a republished `x-death` looks like a dead-letter cycle to
/// RabbitMQ 3.x, which then drops the message or keeps it for ever.
fn properties(message: &BrokerMessage) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (key, value) in &message.headers {
        let value = AMQPValue::LongString(LongString::from(value.as_str()));
        headers.insert((*key).into(), value);
    }
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(message.id.as_str().into())
        .with_type(message.kind.into())
        .with_headers(headers)
}
