//! Targets: what the gateway calls in a test.
//!
//! - `target.rs`: [`TestTarget`], a listener with counters that follows a script
//! - `http.rs`: scripts of HTTP answers ([`ScriptedReply`]) and what was received ([`CapturedRequest`])
//! - `raw.rs`: scripts of bytes ([`Step`]), for targets that break the protocol
//! - `scripts.rs`: ready-made scripts of bytes
//! - `practice.rs`: [`Callee`], the product's practice callee run in the test's own process
//! - `unreachable.rs`: [`UnreachableHost`], which never accepts a connection

mod http;
mod practice;
mod raw;
pub mod scripts;
mod target;
mod unreachable;

pub use http::{CapturedRequest, Script, ScriptedReply, message_end};
pub use practice::Callee;
pub use raw::Step;
pub use target::{ReservedAddress, TestTarget};
pub use unreachable::UnreachableHost;
