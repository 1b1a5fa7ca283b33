//! Declares the topology, or checks that it exists.

use super::objects::{Argument, Arguments, ExchangeType, Topology};
use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

impl Topology {
    /// Declares everything; declaring again changes nothing.
    pub(in crate::rabbitmq) async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        for exchange in &self.exchanges {
            let mut arguments = FieldTable::default();
            if let Some(alternate) = &exchange.alternate {
                let alternate = AMQPValue::LongString(LongString::from(alternate.as_str()));
                arguments.insert("alternate-exchange".into(), alternate);
            }
            let options = ExchangeDeclareOptions {
                durable: true,
                ..Default::default()
            };
            let (name, kind) = (exchange.name.as_str().into(), exchange_kind(exchange.kind));
            channel
                .exchange_declare(name, kind, options, arguments)
                .await?;
        }
        for queue in &self.queues {
            let options = QueueDeclareOptions {
                durable: true,
                ..Default::default()
            };
            let arguments = field_table(&queue.arguments);
            channel
                .queue_declare(queue.name.as_str().into(), options, arguments)
                .await?;
        }
        for binding in &self.bindings {
            let source = binding.source.as_str().into();
            let destination = binding.destination.as_str().into();
            let key = binding.routing_key.as_str().into();
            let arguments = FieldTable::default();
            if binding.to_exchange {
                let options = ExchangeBindOptions::default();
                channel
                    .exchange_bind(destination, source, key, options, arguments)
                    .await?;
            } else {
                let options = QueueBindOptions::default();
                channel
                    .queue_bind(destination, source, key, options, arguments)
                    .await?;
            }
        }
        Ok(())
    }

    /// Checks that every name exists, which needs no permission to configure. It does not compare
    /// arguments; `ringback topology --check` does.
    pub(in crate::rabbitmq) async fn check(&self, channel: &Channel) -> lapin::Result<()> {
        for exchange in &self.exchanges {
            let options = ExchangeDeclareOptions {
                passive: true,
                ..Default::default()
            };
            let (name, kind) = (exchange.name.as_str().into(), exchange_kind(exchange.kind));
            channel
                .exchange_declare(name, kind, options, FieldTable::default())
                .await?;
        }
        for queue in &self.queues {
            let options = QueueDeclareOptions {
                passive: true,
                ..Default::default()
            };
            channel
                .queue_declare(queue.name.as_str().into(), options, FieldTable::default())
                .await?;
        }
        Ok(())
    }

    /// Declares the queue of one listener, even if the rest is only checked: it belongs to this
    /// connection. Needs the permission to configure its name.
    pub(in crate::rabbitmq) async fn declare_reply_queue(
        &self,
        channel: &Channel,
        name: &str,
    ) -> lapin::Result<()> {
        // A queue that is not durable must be exclusive: RabbitMQ 4.3 denies it otherwise.
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..Default::default()
        };
        let arguments = field_table(&Self::reply_arguments());
        channel
            .queue_declare(name.into(), options, arguments)
            .await?;
        let exchange = self.reply_exchange();
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        channel
            .queue_bind(
                name.into(),
                exchange.as_str().into(),
                name.into(),
                options,
                arguments,
            )
            .await
    }
}

const fn exchange_kind(kind: ExchangeType) -> ExchangeKind {
    match kind {
        ExchangeType::Direct => ExchangeKind::Direct,
        ExchangeType::Fanout => ExchangeKind::Fanout,
        ExchangeType::Topic => ExchangeKind::Topic,
    }
}

fn field_table(arguments: &Arguments) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(LongString::from(text.as_str())),
            Argument::Number(number) => AMQPValue::LongLongInt(*number),
        };
        table.insert((*key).into(), value);
    }
    table
}
