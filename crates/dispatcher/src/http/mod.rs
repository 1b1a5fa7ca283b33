//! HTTP calls to targets.
//!
//! - `answer/`: what is kept of a target's answer
//! - `client.rs`: makes a call and reads the response
//! - `pool.rs`: connection pools, one per address policy and TLS profile
//! - `connector.rs`: opens connections
//! - `connections.rs`: bounds them in total
//! - `dns/`: resolves names to admitted addresses
//! - `error.rs`: classifies errors of the HTTP client as outcomes
//! - `headers.rs`: request headers; `cloud_event.rs`: those of CloudEvents
//! - `tls.rs`: trusted roots and client certificates
//! - `certificates.rs`: when the certificates of callees expire

mod answer;
pub(crate) mod certificates;
pub(crate) mod client;
mod cloud_event;
pub(crate) mod connections;
pub(crate) mod connector;
pub(crate) mod dns;
mod error;
mod headers;
pub(crate) mod pool;
pub(crate) mod tls;
