//! End-to-end tests: the promises of the gateway, tested from outside with the real binary.
//!
//! All are in one test binary, so that they share one RabbitMQ node.
//!
//! - `accept/`: what callers send and hear: requests, errors, idempotency keys, query, wait, cancel
//! - `delivery/`: what targets get: requests, retries, dead letters, signatures, recording
//! - `limits/`: limits and circuit breakers, per target and per callee
//! - `security/`: authentication, the SSRF guard, TLS, hostile targets, leaks of secrets
//! - `admin/`: the operators' API and commands, pauses, replay, reload, start-up
//! - `journal/`: the PostgreSQL journal
//! - `faults/`: failures of RabbitMQ and of a dispatcher
//! - `embedded/`: `ringback serve` and `ringback dev` on one data directory
//! - `rabbitmq/`: the connection to RabbitMQ and its conformance
//! - `backup/`: backup and restore
//! - `upgrade/`: the release before, beside this one
//! - `drills/`: the sentence that an operator reads when something is wrong
//! - `harness/`: the test harness itself
//! - `fixtures.rs`: the gateways that tests share
//!
//! With `RINGBACK_E2E_BROKER=embedded` the gateways use the embedded store instead of RabbitMQ.
//! Tests about RabbitMQ itself (`faults`, `harness`, `rabbitmq`) fail in such a run and have to be
//! skipped. `tests/run` does so, and also skips the tests that use their own store or journal in
//! either run (`embedded`, `broken_stderr`, `journal`, `backup`, `upgrade`).

#![expect(
    clippy::unwrap_used,
    reason = "a test fails loudly, and clippy's exemption for tests ends at the test function"
)]

mod accept;
mod admin;
mod backup;
mod delivery;
mod drills;
mod embedded;
mod faults;
mod fixtures;
mod harness;
mod journal;
mod limits;
mod rabbitmq;
mod security;
mod upgrade;
