//! How a process starts, is observed, and stops.
//!
//! This crate knows nothing of callbacks and depends on no other crate of the gateway.
//!
//! - `config/`: settings from defaults, a file and the environment
//! - `telemetry.rs`: logging, and the TLS cryptography
//! - `text.rs`, `safe_writer.rs`: strangers' text made safe to read, also in the log
//! - `metrics/`: the registry of all metrics
//! - `health.rs`: whether the process is ready
//! - `http/`: HTTP servers with bounded connections, and the health and metrics pages
//! - `shutdown.rs`: graceful stop on signals
//! - `reload/`: settings that change while the process runs
//! - `reloadable.rs`: a shared value that a reload replaces
//! - `random.rs`, `clock.rs`: random bytes for keys, the wall clock

pub mod clock;
pub mod config;
pub mod health;
pub mod http;
pub mod metrics;
pub mod random;
pub mod reload;
mod reloadable;
mod safe_writer;
pub mod shutdown;
pub mod telemetry;
pub mod text;

pub use config::{Config, ConfigError, Loaded, SecretRef};
pub use health::Health;
pub use metrics::MetricsRegistry;
pub use reload::{Reload, ReloadMetrics};
pub use reloadable::Reloadable;
