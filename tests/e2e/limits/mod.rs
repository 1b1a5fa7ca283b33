//! A bad target does not slow down others, and what is deferred is kept.
//!
//! - `targets.rs`: in-flight cap, rate and circuit breaker per target
//! - `callees.rs`: settings of a registered callee

mod callees;
mod targets;
