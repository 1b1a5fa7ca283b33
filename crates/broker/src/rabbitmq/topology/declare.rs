//! How does the topology come to be in a broker, or how is it seen that it is there?

use super::{Argument, ExchangeSpec, Topology};
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
            let kind = exchange.kind();
            let name = exchange.name.as_str().into();
            channel
                .exchange_declare(name, kind, options, arguments)
                .await?;
        }
        for queue in &self.queues {
            let options = QueueDeclareOptions {
                durable: true,
                ..Default::default()
            };
            let arguments = table(&queue.arguments);
            channel
                .queue_declare(queue.name.as_str().into(), options, arguments)
                .await?;
        }
        for binding in &self.bindings {
            let source = binding.source.as_str().into();
            let destination = binding.destination.as_str().into();
            let key = binding.routing_key.as_str().into();
            let none = FieldTable::default();
            if binding.to_exchange {
                let options = ExchangeBindOptions::default();
                channel
                    .exchange_bind(destination, source, key, options, none)
                    .await?;
            } else {
                let options = QueueBindOptions::default();
                channel
                    .queue_bind(destination, source, key, options, none)
                    .await?;
            }
        }
        Ok(())
    }

    /// Checks that every name exists, with no right to change anything. The broker does not compare
    /// arguments here: `ringback topology --check` does.
    pub(in crate::rabbitmq) async fn check(&self, channel: &Channel) -> lapin::Result<()> {
        let none = FieldTable::default();
        for exchange in &self.exchanges {
            let options = ExchangeDeclareOptions {
                passive: true,
                ..Default::default()
            };
            let kind = exchange.kind();
            let name = exchange.name.as_str().into();
            channel
                .exchange_declare(name, kind, options, none.clone())
                .await?;
        }
        for queue in &self.queues {
            let options = QueueDeclareOptions {
                passive: true,
                ..Default::default()
            };
            channel
                .queue_declare(queue.name.as_str().into(), options, none.clone())
                .await?;
        }
        Ok(())
    }

    /// Makes the queue of one asker, whether the rest is declared or only checked: it must be this
    /// connection's own. Needs the right to configure its name.
    pub(in crate::rabbitmq) async fn declare_reply_queue(
        &self,
        channel: &Channel,
        name: &str,
    ) -> lapin::Result<()> {
        // Not durable needs exclusive: RabbitMQ 4.3 denies the one without the other.
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..Default::default()
        };
        let arguments = table(&Self::reply_arguments());
        channel
            .queue_declare(name.into(), options, arguments)
            .await?;
        let (source, options) = (self.replies(), QueueBindOptions::default());
        let none = FieldTable::default();
        channel
            .queue_bind(
                name.into(),
                source.as_str().into(),
                name.into(),
                options,
                none,
            )
            .await
    }
}

impl ExchangeSpec {
    fn kind(&self) -> ExchangeKind {
        match self.kind {
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            _ => ExchangeKind::Direct,
        }
    }
}

fn table(arguments: &[(&'static str, Argument)]) -> FieldTable {
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
