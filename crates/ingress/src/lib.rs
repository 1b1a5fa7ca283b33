//! The door in: how does a caller's request become a durable message, and what is the caller told?
//!
//! Start reading at `accept.rs`, the main path, and `queue.rs`, its middle. `callers.rs` tells who asks, `admit.rs` what is
//! refused, `compose.rs` the message, `reply.rs` how an answer looks, `server.rs` the HTTP server
//! around it all, `head.rs` and `unread.rs` what it does not see to.
//!
//! - `wishes.rs`: the headers that ask for more; `waiting.rs`: who waits for the first attempt;
//!   `claim.rs`: which request of an idempotency key publishes.
//! - `query.rs`: what became of a callback; `watching.rs`: who waits for its end; `freshness.rs`:
//!   when a caller may be told that there is none.

mod accept;
mod admit;
mod body;
mod callers;
mod claim;
mod compose;
mod fit;
mod freshness;
mod head;
mod moment;
mod query;
mod queue;
mod reply;
mod server;
mod unread;
mod waiting;
mod watching;
mod wishes;

#[cfg(test)]
mod tests;

pub use server::{Tools, serve};
