//! Whether a target may be called now, or its callbacks must wait.
//!
//! State machines without a clock: time is a `Duration` since any fixed point of a monotonic clock.
//!
//! - `limiter/`: admits, queues or defers messages, for all targets of a process. Start here.
//! - `target_state.rs`: the state of one target, made of the parts below.
//! - `app_usage.rs`: what one app holds.
//! - `shared_pool.rs`: how apps share a queue's slots.
//! - `circuit.rs`: breaker and `Retry-After` of a target, for each app.
//! - `circuit_breaker/`: stops calls to a failing target.
//! - `rate_limiter.rs`: limits calls per second.
//! - `latency.rs`: a histogram of recent calls. `throughput.rs`: how many end in a second.
//! - `outcome_counts.rs`: how calls ended, in total and in the last five minutes.
//! - `release_pacer.rs`: spreads out the release of deferred messages.
//! - `defer_delay.rs`: how long a deferred message waits.
//! - `health_sample.rs`: what an outcome says about its target.
//! - `policy.rs`, `limit_key.rs`: the limits, and what they apply to.
//! - `stats.rs`: figures for people and metrics.
//! - `config.rs`: the settings section `limits`.

mod app_usage;
mod circuit;
mod circuit_breaker;
mod config;
mod defer_delay;
mod health_sample;
mod latency;
mod limit_key;
mod limiter;
mod outcome_counts;
mod policy;
mod rate_limiter;
mod release_pacer;
mod shared_pool;
mod stats;
mod target_state;
mod throughput;

pub use circuit_breaker::{BreakerState, OpenReason};
pub use config::LimitsConfig;
pub use defer_delay::defer_delay;
pub use health_sample::{CallSample, HealthSignal};
pub use latency::duration_quantile;
pub use limit_key::LimitKey;
pub use limiter::{
    AdmissionRequest, AppId, LimitDecision, Limiter, Permit, Place, TargetId, Terms, Ticket,
};
pub use policy::{BreakerRules, DeferReason, TargetLimits, WorkQueue};
pub use rate_limiter::{Gcra, Rate};
pub use stats::{AppStats, LastError, Remainder, TargetStats, TopTargets};
