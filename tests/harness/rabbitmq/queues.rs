//! The broker's queues, seen from outside the gateway.

use std::fmt::Display;

use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection};

use super::{RabbitMq, janitor};
use crate::queue_message::QueueMessage;

/// The channels that [`RabbitMq::suspend_consumers`] has stopped.
#[derive(Debug)]
pub struct SuspendedConsumers(Vec<String>);

impl RabbitMq {
    /// How many messages are ready in the queue; unacknowledged ones do not count.
    ///
    /// # Errors
    /// As text, when the queue or the node does not exist.
    pub async fn depth(&self, queue: &str) -> Result<u32, String> {
        let depths = self.depths([queue.to_owned()]).await?;
        Ok(depths[0])
    }

    /// The same for several queues, over one connection.
    ///
    /// # Errors
    /// As [`RabbitMq::depth`].
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
            depths.push(declared.map_err(describe)?.message_count());
        }
        Ok(depths)
    }

    /// Removes the next message from the queue.
    ///
    /// # Errors
    /// As text, when the queue or the node does not exist.
    pub async fn take(&self, queue: &str) -> Result<Option<QueueMessage>, String> {
        Ok(self.take_up_to(queue, 1).await?.pop())
    }

    /// Removes all messages from the queue.
    ///
    /// # Errors
    /// As [`RabbitMq::take`].
    pub async fn take_all(&self, queue: &str) -> Result<Vec<QueueMessage>, String> {
        self.take_up_to(queue, usize::MAX).await
    }

    async fn take_up_to(&self, queue: &str, max: usize) -> Result<Vec<QueueMessage>, String> {
        let (_connection, channel) = self.channel().await?;
        let mut all = Vec::new();
        while all.len() < max {
            let options = BasicGetOptions::default();
            let got = channel.basic_get(queue.into(), options).await;
            let Some(message) = got.map_err(describe)? else {
                break;
            };
            let acked = message.delivery.ack(BasicAckOptions::default()).await;
            acked.map_err(describe)?;
            all.push(queue_message(message.delivery));
        }
        // An ack has no answer, and dropping the connection could discard it unsent.
        channel.close(200, "done".into()).await.map_err(describe)?;
        Ok(all)
    }

    /// Has these queues deleted, soon. It is no error if they or the node are gone.
    pub(crate) fn delete_soon(&self, queues: Vec<String>) {
        janitor::delete_soon(self.uri(), queues);
    }

    /// Stops the leader of a quorum queue: it confirms and delivers nothing until
    /// [`RabbitMq::resume_queue`], and its node goes on.
    ///
    /// # Panics
    /// When there is no such queue.
    pub async fn suspend_queue(&self, queue: &str) {
        self.on_leader(queue, "sys:suspend(Leader, 20000)").await;
    }

    /// Lets the leader of a quorum queue go on.
    ///
    /// # Panics
    /// As [`RabbitMq::suspend_queue`].
    pub async fn resume_queue(&self, queue: &str) {
        self.on_leader(queue, "sys:resume(Leader, 20000)").await;
    }

    async fn on_leader(&self, queue: &str, call: &str) {
        let lookup = format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>)), \
             Leader = amqqueue:get_pid(Q), {call}."
        );
        self.ctl(&["eval", &lookup]).await;
    }

    /// Stops the channels of a queue's consumers: nothing arrives there any more, until
    /// [`RabbitMq::resume_consumers`] with the result.
    ///
    /// # Panics
    /// When the queue has no consumer.
    pub async fn suspend_consumers(&self, queue: &str) -> SuspendedConsumers {
        let suspend = format!(
            "Channels = [proplists:get_value(channel_pid, Consumer) \
             || Consumer <- rabbit_amqqueue:consumers_all(<<\"/\">>), \
             element(4, proplists:get_value(queue_name, Consumer)) =:= <<\"{queue}\">>], \
             [ok = sys:suspend(Channel, 20000) || Channel <- Channels], \
             [pid_to_list(Channel) || Channel <- Channels]."
        );
        let shown = self.ctl(&["eval", &suspend]).await;
        let channels: Vec<String> = shown
            .split(['<', '>'])
            .filter(|part| part.split('.').count() == 3)
            .map(str::to_owned)
            .collect();
        assert!(!channels.is_empty(), "no consumer of {queue}: {shown}");
        SuspendedConsumers(channels)
    }

    /// Lets the consumers' channels go on, those that still exist.
    pub async fn resume_consumers(&self, suspended: SuspendedConsumers) {
        for channel in suspended.0 {
            let resume = format!("catch sys:resume(list_to_pid(\"<{channel}>\"), 20000), ok.");
            self.ctl(&["eval", &resume]).await;
        }
    }

    /// Sets a policy for the queues whose names match, for instance `{"max-length":3}`.
    ///
    /// # Panics
    /// When RabbitMQ refuses it.
    pub async fn set_policy(&self, name: &str, pattern: &str, definition: &str) {
        let to = ["--apply-to", "queues", "--priority", "9"];
        let policy = ["set_policy", name, pattern, definition];
        self.ctl(&[&policy[..], &to[..]].concat()).await;
    }

    /// Removes a policy.
    ///
    /// # Panics
    /// When there is none of this name.
    pub async fn clear_policy(&self, name: &str) {
        self.ctl(&["clear_policy", name]).await;
    }

    /// Publishes a persistent message and waits for the broker's confirm.
    ///
    /// # Errors
    /// As text, when it is not confirmed.
    pub async fn publish(&self, exchange: &str, key: &str, body: &[u8]) -> Result<(), String> {
        let (_connection, channel) = self.channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(describe)?;
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let published = channel
            .basic_publish(exchange.into(), key.into(), options, body, persistent)
            .await;
        match published.map_err(describe)?.await.map_err(describe)? {
            Confirmation::Ack(None) => Ok(()),
            other => Err(format!("not confirmed: {other:?}")),
        }
    }

    async fn channel(&self) -> Result<(Connection, Channel), String> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await.map_err(describe)?;
        Ok((connection, channel))
    }
}

fn describe(error: impl Display) -> String {
    error.to_string()
}

fn queue_message(delivery: Delivery) -> QueueMessage {
    let properties = delivery.properties;
    let headers = properties.headers().iter().flat_map(FieldTable::inner);
    QueueMessage {
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

/// A header's value as text.
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
