//! Publishing with confirms.
//!
//! - `publisher.rs`: routes, deadlines, and whether follow-ups can be published.
//! - `channel.rs`: the task that owns one confirm channel.
//! - `outstanding.rs`: the unconfirmed publishes of one channel, and the room of each queue.
//! - `health.rs`: which queues take publishes; `remedy.rs`: what is done if one does not.

mod channel;
mod health;
mod outstanding;
pub(super) mod publisher;
mod remedy;
