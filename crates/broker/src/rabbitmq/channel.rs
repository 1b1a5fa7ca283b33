//! What does the one task of a confirm channel do?

use super::link::Live;
use crate::{Message, PublishError, Refused, Unknown};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// lapin scans all pending tags at each `multiple` confirm: more in flight costs more than it gains.
const IN_FLIGHT: usize = 1_000;
const PERSISTENT: u8 = 2;

/// A message to publish, and who waits for the answer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) message: Message,
    /// When the asker stops waiting; `None`: as long as the connection stands.
    pub(super) deadline: Option<Instant>,
    pub(super) reply: oneshot::Sender<Result<(), PublishError>>,
}

/// What a publish told about the whole channel.
enum Word {
    Fine,
    Fault(&'static str),
    Lost(lapin::Error),
}

/// Publishes what comes in until the connection falls. Whoever is still in the inbox then was never
/// written and is told so; whoever is in flight learns from the dropped reply that nobody knows.
pub(super) async fn run(channel: Channel, mut inbox: mpsc::Receiver<Job>, live: Arc<Live>) {
    let mut in_flight = FuturesUnordered::new();
    let mut batch = Vec::with_capacity(IN_FLIGHT);
    loop {
        let room = IN_FLIGHT - in_flight.len();
        tokio::select! {
            biased;
            () = live.down.cancelled() => break,
            Some(word) = in_flight.next(), if !in_flight.is_empty() => match word {
                Word::Fine => {}
                Word::Fault(reason) => live.fault(reason),
                Word::Lost(error) => live.fault(error.to_string()),
            },
            taken = inbox.recv_many(&mut batch, room), if room > 0 => {
                if taken == 0 {
                    break;
                }
                for job in batch.drain(..) {
                    // Polled for the first time, in this order, by this task alone: that keeps tag
                    // and frame of every message together.
                    if let Some(job) = still_wanted(job, &live) {
                        in_flight.push(publish(channel.clone(), job, Arc::clone(&live)));
                    }
                }
            }
        }
    }
    inbox.close();
    while let Some(job) = inbox.recv().await {
        let _ = job
            .reply
            .send(Err(PublishError::Refused(Refused::NotConnected)));
    }
}

/// Lets through what may be written now; answers the others.
fn still_wanted(job: Job, live: &Live) -> Option<Job> {
    let refused = if job.reply.is_closed() {
        // The asker has left before anything was written: nothing was promised, nothing is sent.
        return None;
    } else if live.blocked() {
        Refused::Blocked
    } else if job
        .deadline
        .is_some_and(|deadline| deadline <= Instant::now())
    {
        Refused::TooLate
    } else {
        return Some(job);
    };
    let _ = job.reply.send(Err(PublishError::Refused(refused)));
    None
}

async fn publish(channel: Channel, job: Job, live: Arc<Live>) -> Word {
    let Job {
        exchange,
        routing_key,
        message,
        deadline,
        reply,
    } = job;
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
                let _ = reply.send(Err(PublishError::Unknown(Unknown::Deadline)));
                if !live.blocked() {
                    // What lapin still holds must not be written hours later.
                    return Word::Fault("a publish was not confirmed within its deadline");
                }
                // Blocked: the connection stays, for it alone can tell when the block ends.
                return match confirm.await {
                    Ok(_) => Word::Fine,
                    Err(error) => Word::Lost(error),
                };
            }
        },
    };
    let (answer, word) = match confirmed {
        Ok(Confirmation::Ack(None)) => (Ok(()), Word::Fine),
        Ok(Confirmation::Nack(None)) => (Err(Unknown::Nacked), Word::Fine),
        // lapin may hang a return on the wrong message: nobody in flight can be believed.
        Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_))) => (
            Err(Unknown::Returned),
            Word::Fault("the broker returned a message as unroutable"),
        ),
        Ok(Confirmation::NotRequested) => (
            Err(Unknown::ConnectionLost),
            Word::Fault("the channel is not in confirm mode"),
        ),
        Err(error) => (Err(Unknown::ConnectionLost), Word::Lost(error)),
    };
    // An asker that has left is no matter: the message is durable and will be delivered.
    let _ = reply.send(answer.map_err(PublishError::Unknown));
    word
}

/// Headers are built afresh for every publish: a republished `x-death` looks like a dead-letter
/// cycle to RabbitMQ 3.x, which then drops the message or holds it for ever.
fn properties(message: &Message) -> BasicProperties {
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
