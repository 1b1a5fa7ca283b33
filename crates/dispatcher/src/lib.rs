//! The dispatcher: takes messages from the queues, calls their targets, and settles them.
//!
//! Start at `attempt/mod.rs`, the main path.
//!
//! - `worker.rs`: consumes the queues until the stop
//! - `attempt/`: one message, from the queue to its settlement
//! - `policy/`: the route of a callback: where to call, and how
//! - `limits/`: limits per target, shares of apps, pauses, statistics
//! - `http/`: calls, connection pools, name resolution, TLS
//! - `cancellation.rs`: looks up cancellations and replays
//! - `rescuer.rs`: rescues messages from the queues that no attempt reads; `rescue_pause.rs`: how long
//!   it waits when they come back
//! - `concurrency.rs`: how many messages are in memory, and whose slots they take
//! - `held.rs`: which callbacks are in memory. `recent_attempts.rs`: attempts that ended a moment ago
//! - `context.rs`: the context and the result of an attempt
//! - `config/`: settings
//! - `metrics/`: metrics
//! - `queue.rs`, `deferral.rs`: shared types

mod attempt;
mod cancellation;
mod concurrency;
mod config;
mod context;
mod deferral;
mod held;
mod http;
mod limits;
mod metrics;
mod policy;
mod queue;
mod recent_attempts;
mod rescue_pause;
mod rescuer;
#[cfg(test)]
mod tests;
mod worker;

pub use attempt::record::origin_of;
pub use attempt::settlement::to_broker_message;
pub use config::{AutoPauseConfig, CalleeAuth, CalleeConfig, DispatcherConfig, validate_callees};
pub use deferral::deferral_reasons;
pub use held::HeldCallbacks;
pub use http::dns::addresses_of;
pub use limits::pauses::{PauseCounts, PauseKey, PauseRegistry, Switch};
pub use limits::target_stats::TargetStatsHandle;
pub use metrics::DispatcherMetrics;
pub use policy::delivery_policy::{DeliveryPolicy, PolicyConfig, PolicyHandle, tls_host};
pub use recent_attempts::RecentAttempts;
pub use worker::{Dependencies, Dispatcher, StartError, check};
