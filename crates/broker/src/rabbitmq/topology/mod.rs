//! Every exchange, queue and binding in RabbitMQ.
//!
//! - `objects.rs`: [`Topology`](objects::Topology): the names, and each argument with its reason.
//! - `delay.rs`: the delay queues.
//! - `declare.rs`: declares the topology, or checks that it exists.
//! - `export.rs`: the topology as RabbitMQ definitions and as a table for people.

mod declare;
pub(super) mod delay;
mod export;
pub(super) mod objects;
