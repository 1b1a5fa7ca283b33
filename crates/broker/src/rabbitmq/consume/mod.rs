//! Reading from RabbitMQ.
//!
//! - `consumer.rs`: deliveries of one queue across reconnects and a graceful stop.
//! - `delivery.rs`: acknowledgement of one delivery, after its follow-up.
//! - `replies.rs`: best-effort replies between processes.
//! - `depths.rs`: the depth of every queue.

pub(super) mod consumer;
pub(crate) mod delivery;
pub(super) mod depths;
pub(super) mod replies;
