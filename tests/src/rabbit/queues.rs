//! What is in the broker's queues, seen from outside the gateway?

use std::fmt::Display;

use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection};

use super::Rabbit;
use crate::taken::Taken;

impl Rabbit {
    /// How many messages are ready in the queue (those delivered and not acked do not count).
    ///
    /// # Errors
    /// In words, when the queue or the node is not there.
    pub async fn depth(&self, queue: &str) -> Result<u32, String> {
        let depths = self.depths([queue.to_owned()]).await?;
        Ok(depths[0])
    }

    /// The same of several queues, over one connection.
    ///
    /// # Errors
    /// As [`Rabbit::depth`].
    pub async fn depths(
        &self,
        queues: impl IntoIterator<Item = String>,
    ) -> Result<Vec<u32>, String> {
        let (_connection, channel) = self.channel().await?;
        let mut depths = Vec::new();
        for queue in queues {
            let passive = QueueDeclareOptions::default().passive();
            let declared = channel
                .queue_declare(queue.as_str().into(), passive, FieldTable::default())
                .await;
            depths.push(declared.map_err(words)?.message_count());
        }
        Ok(depths)
    }

    /// Takes the next message out of the queue for good.
    ///
    /// # Errors
    /// In words, when the queue or the node is not there.
    pub async fn take(&self, queue: &str) -> Result<Option<Taken>, String> {
        Ok(self.take_most(queue, 1).await?.pop())
    }

    /// Takes all messages out of the queue for good.
    ///
    /// # Errors
    /// As [`Rabbit::take`].
    pub async fn take_all(&self, queue: &str) -> Result<Vec<Taken>, String> {
        self.take_most(queue, usize::MAX).await
    }

    async fn take_most(&self, queue: &str, most: usize) -> Result<Vec<Taken>, String> {
        let (_connection, channel) = self.channel().await?;
        let mut all = Vec::new();
        while all.len() < most {
            let options = BasicGetOptions::default();
            let got = channel.basic_get(queue.into(), options).await;
            let Some(message) = got.map_err(words)? else {
                break;
            };
            let acked = message.delivery.ack(BasicAckOptions::default()).await;
            acked.map_err(words)?;
            all.push(taken(message.delivery));
        }
        // An ack has no answer, and a connection dropped may take it along unsent.
        channel.close(200, "done".into()).await.map_err(words)?;
        Ok(all)
    }

    /// Publishes a persistent message and waits for the broker's confirm.
    ///
    /// # Errors
    /// In words, when it is not confirmed.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8]) -> Result<(), String> {
        let (_connection, channel) = self.channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(words)?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let published = channel
            .basic_publish(exchange.into(), key.into(), options, body, persistent)
            .await;
        match published.map_err(words)?.await.map_err(words)? {
            Confirmation::Ack(None) => Ok(()),
            other => Err(format!("not confirmed: {other:?}")),
        }
    }

    async fn channel(&self) -> Result<(Connection, Channel), String> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await.map_err(words)?;
        Ok((connection, channel))
    }
}

fn words(error: impl Display) -> String {
    error.to_string()
}

fn taken(delivery: Delivery) -> Taken {
    let properties = delivery.properties;
    let headers = properties.headers().iter().flat_map(FieldTable::inner);
    Taken {
        body: delivery.data.into(),
        id: properties
            .message_id()
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        // AMQP 0-9-1: 1 is transient, 2 persistent.
        persistent: *properties.delivery_mode() == Some(2),
        headers: headers
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
    }
}

/// A header's value: numbers and booleans spelt out, all else as it prints.
fn text(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(yes) => yes.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        other => format!("{other:?}"),
    }
}
