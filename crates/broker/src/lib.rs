//! How does a message wait, durably, until it is its turn? A queue with delay and dead letters, over
//! bytes.
//!
//! This crate knows nothing of callbacks. It takes a [`Message`], says truthfully whether it is
//! durable ([`PublishError`] tells "never" from "nobody knows"), hands it out again as [`Received`],
//! and lets the receiver settle it exactly once.
//!
//! Where to start reading: [`Broker`], then `rabbitmq/topology.rs` for the queues, then
//! `rabbitmq/publisher.rs` for how an accept is confirmed.

mod broker;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod embedded;
mod message;
mod publish;
pub mod rabbitmq;
mod received;
mod replies;
mod route;
mod state;

pub use broker::{Broker, Consumer};
pub use message::{Lane, Message};
pub use publish::{PublishError, Refused, Unknown};
pub use rabbitmq::Settings;
pub use received::{Received, Settlement, Unsettled};
pub use replies::Replies;
pub use state::{Depths, State};
