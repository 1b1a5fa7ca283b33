//! Are the promises kept, end to end? One module per promise, all in one binary, so that they
//! share one RabbitMQ node.
//!
//! With `RINGBACK_E2E_BROKER=embedded` the gateways stand on the embedded store instead. What is
//! about RabbitMQ itself (`conformance`, `faults`, `harness`, and modules named `rabbitmq`) is to be
//! skipped then and fails where it is not; `tests/run` does so, and skips what starts its own store
//! in either run (`embedded`, `closed_log`).

#![expect(
    clippy::unwrap_used,
    reason = "a test fails loudly, and clippy's leave for tests ends at the test function"
)]

mod accept;
mod bad_requests;
mod callers;
mod canary;
mod cancel;
mod closed_log;
mod conformance;
mod dead;
mod deliver;
mod dev;
mod embedded;
mod faults;
mod graves;
mod guard;
mod harness;
mod hostile_targets;
mod idempotency;
mod isolation;
mod journal;
mod keys;
mod load;
mod no_call;
mod no_journal;
mod operators;
mod pauses;
mod query;
mod rabbitmq;
mod record;
mod redirects;
mod reload;
mod replay;
mod retry;
mod shared;
mod signing;
mod startup;
mod stop;
mod tls;
mod wait;
