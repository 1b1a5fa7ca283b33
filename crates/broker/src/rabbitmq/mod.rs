//! The adapter for RabbitMQ 3.10 to 4.x, without plugins.
//!
//! - `broker.rs`: [`RabbitMqBroker`], the adapter's entry point.
//! - `options.rs`: [`RabbitMqOptions`], what it is built from; `node_urls.rs`: the URLs of the
//!   nodes.
//! - `connection.rs`: a connection that is re-established on any fault; `reconnect.rs`: to which
//!   node, and the waits in between; `nodes.rs`: the nodes to avoid; `liveness.rs` and
//!   `counted_stream.rs`: a silent node; `stage.rs`: what a new connection waits for; `tls/`:
//!   certificates; `credentials.rs`: users and passwords.
//! - `control.rs`: messages to all processes. `best_effort.rs`: how these and replies are sent and received.
//! - `monitor.rs`: the faults of single objects.
//! - `publish/`: publisher confirms.
//! - `consume/`: deliveries, acknowledgements, replies and queue depths.
//! - `topology/`: every exchange, queue and binding, and the delay queues.

mod best_effort;
mod broker;
mod connection;
pub(crate) mod consume;
mod control;
mod counted_stream;
mod credentials;
mod liveness;
mod monitor;
mod node_urls;
mod nodes;
mod options;
mod publish;
mod reconnect;
mod stage;
mod tls;
mod topology;

pub(crate) use broker::RabbitMqBroker;
pub(crate) use consume::consumer::RabbitMqConsumer;
pub use credentials::BrokerCredentials;
pub use node_urls::split_urls;
pub use options::RabbitMqOptions;
pub use tls::{BrokerTls, BrokerTlsError, ClientIdentity};
pub use topology::delay::MAX_DELAY;
pub use topology::objects::Topology;
