//! Publishing with confirms.
//!
//! - `publisher.rs`: routes, deadlines, and whether follow-ups can be published.
//! - `channel.rs`: the task that owns one confirm channel.

pub(super) mod channel;
pub(super) mod publisher;
