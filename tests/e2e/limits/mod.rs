//! A bad target and a greedy app do not slow down others, and what is deferred is kept.
//!
//! - `apps.rs`: shares of apps, and apps that call the same host
//! - `targets.rs`: in-flight cap, rate and circuit breaker per target
//! - `callees.rs`: settings of a registered callee

mod apps;
mod callees;
mod targets;
