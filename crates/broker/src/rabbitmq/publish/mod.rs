//! Publishing with confirms.
//!
//! - `publisher.rs`: routes, deadlines, and whether follow-ups can be published.
//! - `links.rs`: the channels of all publishing connections; `standing.rs`: the choice among them.
//! - `channel.rs`: the task that owns one confirm channel.
//! - `outstanding.rs`: the unconfirmed publishes of one channel, and the room of each queue.
//! - `health.rs`: which queues take publishes; `remedy.rs`: what is done if one does not.

mod channel;
mod health;
mod links;
mod outstanding;
pub(super) mod publisher;
mod remedy;
mod standing;
