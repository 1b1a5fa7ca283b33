//! The adapter for RabbitMQ 3.10 to 4.x, without plugins.
//!
//! - `broker.rs`: [`RabbitMqBroker`], the adapter's entry point.
//! - `options.rs`: [`RabbitMqOptions`], what it is built from.
//! - `connection.rs`: a connection that is re-established on any fault; `reconnect.rs`: the waits
//!   in between; `tls/`: certificates.
//! - `publish/`: publisher confirms.
//! - `consume/`: deliveries, acknowledgements, replies and queue depths.
//! - `topology/`: every exchange, queue and binding, and the delay queues.

mod broker;
mod connection;
pub(crate) mod consume;
mod options;
mod publish;
mod reconnect;
mod tls;
mod topology;

pub(crate) use broker::RabbitMqBroker;
pub(crate) use consume::consumer::RabbitMqConsumer;
pub use options::RabbitMqOptions;
pub use tls::{BrokerTls, BrokerTlsError, ClientIdentity};
pub use topology::delay::MAX_DELAY;
pub use topology::objects::Topology;
