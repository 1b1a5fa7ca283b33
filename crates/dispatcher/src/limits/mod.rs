//! Limits per target, shares of apps, pauses, and statistics of targets.
//!
//! - `limiter/`: grants permits to make calls
//! - `turn_queue.rs`: a queue in which apps take turns
//! - `pauses/`: pauses of targets, callees, apps and message types, and the switches
//! - `target_stats.rs`: statistics of targets, for other crates and the metrics
//! - `target_metrics.rs`: counters of the busiest targets

pub(crate) mod limiter;
pub(crate) mod pauses;
mod target_metrics;
pub(crate) mod target_stats;
mod turn_queue;
