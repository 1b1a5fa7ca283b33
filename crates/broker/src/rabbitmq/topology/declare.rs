//! Declares single objects of the topology, or checks that they exist, each with a deadline.

use super::objects::Topology;
use super::objects::{Argument, Arguments, BindingSpec, ExchangeSpec, ExchangeType, QueueSpec};
use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use std::time::Duration;

/// A node that does not open a channel within this time is silent.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How the broker answered one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DeclareAnswer {
    Done,
    /// The object does not exist; the text is the broker's.
    Missing(String),
    /// The broker refuses it; the text is the broker's.
    Refused(String),
    /// It has not answered in time.
    Silent,
}

/// Asks the broker for one object after the other, through one channel. A request that is not
/// answered, or is refused, costs that channel and nothing else.
pub(super) struct Requests<'a> {
    connection: &'a Connection,
    channel: Option<Channel>,
}

impl<'a> Requests<'a> {
    pub(super) const fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            channel: None,
        }
    }

    /// Makes a request. An error is one of the connection.
    async fn request(
        &mut self,
        limit: Duration,
        request: impl AsyncFnOnce(&Channel) -> lapin::Result<()>,
    ) -> Result<DeclareAnswer, String> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => tokio::time::timeout(OPEN_TIMEOUT, self.connection.create_channel())
                .await
                .map_err(|_| "the broker opens no channel".to_owned())?
                .map_err(|error| error.to_string())?,
        };
        match tokio::time::timeout(limit, request(&channel)).await {
            Ok(Ok(())) => {
                self.channel = Some(channel);
                Ok(DeclareAnswer::Done)
            }
            Ok(Err(error)) if is_not_found(&error) => Ok(DeclareAnswer::Missing(error.to_string())),
            Ok(Err(error)) if error.is_amqp_soft_error() => {
                Ok(DeclareAnswer::Refused(error.to_string()))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Ok(DeclareAnswer::Silent),
        }
    }

    /// Declares an exchange, or with `passive` only looks for it.
    pub(super) async fn exchange(
        &mut self,
        spec: &ExchangeSpec,
        passive: bool,
        limit: Duration,
    ) -> Result<DeclareAnswer, String> {
        let mut arguments = FieldTable::default();
        if let (false, Some(alternate)) = (passive, &spec.alternate) {
            let alternate = AMQPValue::LongString(LongString::from(alternate.as_str()));
            arguments.insert("alternate-exchange".into(), alternate);
        }
        let options = ExchangeDeclareOptions {
            passive,
            durable: true,
            ..Default::default()
        };
        let (name, kind) = (spec.name.as_str().into(), exchange_kind(spec.kind));
        self.request(limit, async |channel| {
            channel
                .exchange_declare(name, kind, options, arguments)
                .await
        })
        .await
    }

    /// Declares a queue, or with `passive` only looks for it, which needs no permission to
    /// configure. That compares no arguments; `ringback topology --check` does.
    pub(super) async fn queue(
        &mut self,
        spec: &QueueSpec,
        passive: bool,
        limit: Duration,
    ) -> Result<DeclareAnswer, String> {
        let options = QueueDeclareOptions {
            passive,
            durable: true,
            ..Default::default()
        };
        let arguments = match passive {
            true => FieldTable::default(),
            false => field_table(&spec.arguments),
        };
        let name = spec.name.as_str().into();
        self.request(limit, async |channel| {
            channel
                .queue_declare(name, options, arguments)
                .await
                .map(drop)
        })
        .await
    }

    /// Declares a binding; declaring it again changes nothing.
    pub(super) async fn bind(
        &mut self,
        spec: &BindingSpec,
        limit: Duration,
    ) -> Result<DeclareAnswer, String> {
        let source = spec.source.as_str().into();
        let destination = spec.destination.as_str().into();
        let key = spec.routing_key.as_str().into();
        let arguments = FieldTable::default();
        self.request(limit, async |channel| match spec.to_exchange {
            true => {
                let options = ExchangeBindOptions::default();
                let bound = channel.exchange_bind(destination, source, key, options, arguments);
                bound.await
            }
            false => {
                let options = QueueBindOptions::default();
                let bound = channel.queue_bind(destination, source, key, options, arguments);
                bound.await
            }
        })
        .await
    }

    /// Gives the channel back.
    pub(super) async fn end(mut self) {
        if let Some(channel) = self.channel.take() {
            // An error means that it is closed already.
            let close = channel.close(200, "OK".into());
            let _ = tokio::time::timeout(OPEN_TIMEOUT, close).await;
        }
    }
}

fn is_not_found(error: &lapin::Error) -> bool {
    let not_found = AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND);
    matches!(error.kind(), ErrorKind::ProtocolError(error) if *error.kind() == not_found)
}

impl Topology {
    /// Declares the queue of one listener, even if the rest is only checked: it belongs to this
    /// connection. Needs the permission to configure its name.
    pub(in crate::rabbitmq) async fn declare_reply_queue(
        &self,
        channel: &Channel,
        name: &str,
    ) -> lapin::Result<()> {
        declare_own(channel, name, &Self::reply_arguments()).await?;
        bind_own(channel, name, &self.reply_exchange(), name).await
    }

    /// Declares the queue of one process for control messages and for replies to it, as
    /// [`Topology::declare_reply_queue`].
    pub(in crate::rabbitmq) async fn declare_control_queue(
        &self,
        channel: &Channel,
        name: &str,
    ) -> lapin::Result<()> {
        declare_own(channel, name, &Self::control_arguments()).await?;
        bind_own(channel, name, &self.reply_exchange(), name).await?;
        bind_own(channel, name, &self.control_exchange(), "").await
    }
}

/// Declares a queue that ends with its connection.
async fn declare_own(channel: &Channel, name: &str, arguments: &Arguments) -> lapin::Result<()> {
    // A queue that is not durable must be exclusive: RabbitMQ 4.3 denies it otherwise.
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..Default::default()
    };
    let declared = channel.queue_declare(name.into(), options, field_table(arguments));
    declared.await.map(drop)
}

async fn bind_own(channel: &Channel, name: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(name.into(), exchange.into(), key.into(), options, arguments)
        .await
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
