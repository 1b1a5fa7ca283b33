//! Limits per target, pauses, and statistics of targets.
//!
//! - `limiter/`: grants permits to call a target
//! - `wait_queue.rs`: messages that wait for a permit of one target
//! - `pauses/`: paused targets and callees
//! - `target_stats.rs`: statistics of targets, for other crates and the metrics
//! - `target_metrics.rs`: counters of the busiest targets

pub(crate) mod limiter;
pub(crate) mod pauses;
mod target_metrics;
pub(crate) mod target_stats;
mod wait_queue;
