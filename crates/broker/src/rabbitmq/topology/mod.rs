//! Every exchange, queue and binding in RabbitMQ.
//!
//! - `objects.rs`: [`Topology`](objects::Topology): the names, and each argument with its reason.
//! - `delay.rs`: the delay queues.
//! - `target_queue.rs`: the queues that are published to, numbered.
//! - `declare.rs`: declares single objects, or checks that they exist, each with a deadline.
//! - `check.rs`: looks at everything, and declares what is missing at the start.
//! - `keeper.rs`: finds missing objects while the process runs, and declares them again.
//! - `export.rs`: the topology as RabbitMQ definitions and as a table for people.

pub(super) mod check;
mod declare;
pub(super) mod delay;
mod export;
pub(super) mod keeper;
pub(super) mod objects;
pub(super) mod target_queue;
