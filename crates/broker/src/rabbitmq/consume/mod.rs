//! Reading from RabbitMQ.
//!
//! - `consumer.rs`: deliveries of one queue across reconnects and a graceful stop.
//! - `window.rs`: what is delivered by one subscription and not settled; `silence.rs`: a consumer
//!   that receives nothing though messages are ready.
//! - `delivery.rs`: acknowledgement of one delivery, after its follow-up.
//! - `replies.rs`: best-effort replies between processes.
//! - `depths.rs`: the depth of every queue.

pub(super) mod consumer;
pub(crate) mod delivery;
pub(super) mod depths;
pub(super) mod replies;
mod silence;
mod window;
