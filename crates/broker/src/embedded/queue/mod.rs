//! Delivery from the embedded store.
//!
//! - `index.rs`: which message is next, without holding the whole queue in memory.
//! - `prefetch.rs`: messages taken from the queue and not delivered yet.
//! - `consumer.rs`: delivery. `lease.rs`: settlement of a delivered message.
//! - `lease_table.rs`: the leases of a consumer.

pub(super) mod consumer;
pub(super) mod index;
pub(crate) mod lease;
pub(super) mod lease_table;
pub(super) mod prefetch;
