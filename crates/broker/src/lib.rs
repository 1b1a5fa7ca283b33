//! A durable queue with delays and dead letters, over bytes.
//!
//! This crate knows nothing of callbacks. It publishes a [`BrokerMessage`], reports whether it is
//! durable ([`PublishError`] distinguishes "not written" from "unknown"), delivers it as
//! [`Received`], and lets the receiver settle it exactly once.
//!
//! Start with [`Broker`], then `rabbitmq/topology/objects.rs` for the queues and
//! `rabbitmq/publish/publisher.rs` for publisher confirms.
//!
//! - `broker.rs`: [`Broker`] and [`Consumer`], with either adapter behind them.
//! - `config.rs`: [`BrokerConfig`], the settings section `broker`.
//! - `confirms.rs`: how long publishes took.
//! - `control.rs`: [`Control`], best-effort messages to all processes.
//! - `faults.rs`: [`BrokerFaults`], what is wrong with single queues and exchanges.
//! - `message.rs`: [`BrokerMessage`], [`Queue`], and where a message is published.
//! - `publish_error.rs`: [`PublishError`].
//! - `received.rs`: [`Received`]. `settlement.rs`: [`Settlement`] and the message that follows from
//!   it.
//! - `replies.rs`: [`Replies`], best-effort replies between processes.
//! - `state.rs`: [`ConnectionState`], [`Depth`] and [`Depths`].
//! - `rabbitmq/`: the adapter for RabbitMQ 3.10 to 4.x.
//! - `embedded/`: the adapter for one process with one data directory, on SQLite.
//! - `conformance/`: the tests that both adapters pass (feature `conformance`).

mod broker;
mod config;
mod confirms;
#[cfg(feature = "conformance")]
pub mod conformance;
mod control;
pub mod embedded;
mod faults;
mod message;
mod publish_error;
pub mod rabbitmq;
mod received;
mod replies;
mod settlement;
mod state;

pub use broker::{Broker, Consumer, PublishMark, Removal};
pub use config::BrokerConfig;
pub use confirms::CONFIRM_QUEUES;
pub use control::{Control, ControlSender};
pub use embedded::{EmbeddedOptions, StoreClock};
pub use faults::{BrokerFaults, FaultEvent, FaultKind};
pub use message::{BrokerMessage, Queue};
pub use publish_error::{PublishError, RefusedReason, UnknownReason};
pub use rabbitmq::RabbitMqOptions;
pub use received::Received;
pub use replies::Replies;
pub use settlement::{Settlement, Unsettled};
pub use state::{ConnectionState, Depth, Depths};
