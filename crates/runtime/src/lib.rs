//! How a process starts, is observed, and stops.
//!
//! This crate knows nothing of callbacks and depends on no other crate of the gateway.
//!
//! - `config/`: settings from defaults, a file and the environment
//! - `telemetry.rs`: logging, and the TLS cryptography
//! - `traces/`: spans for a collector of OpenTelemetry
//! - `event_lines.rs`: log events as short lines for people
//! - `text.rs`, `safe_writer.rs`: strangers' text made safe to read, also in the log
//! - `metrics/`: the registry of all metrics
//! - `log_limit.rs`, `failure_log.rs`: log lines that strangers can cause, at a bounded rate
//! - `health.rs`: whether the process is ready
//! - `http/`: HTTP servers with bounded connections, and the health and metrics pages
//! - `shutdown.rs`: graceful stop on signals
//! - `reload/`: settings that change while the process runs
//! - `reloadable.rs`: a shared value that a reload replaces
//! - `service_manager/`: readiness and watchdog of systemd
//! - `open_files.rs`: the limit of open files
//! - `process_usage.rs`: what the process uses of its machine
//! - `program.rs`: how the program was called, for hints
//! - `random.rs`, `clock.rs`: random bytes for keys, the wall clock

pub mod clock;
pub mod config;
mod event_lines;
pub mod failure_log;
pub mod health;
pub mod http;
mod log_limit;
pub mod metrics;
pub mod open_files;
mod process_usage;
pub mod program;
pub mod random;
pub mod reload;
mod reloadable;
mod safe_writer;
pub mod service_manager;
pub mod shutdown;
pub mod telemetry;
pub mod text;
pub mod traces;

pub use config::{Config, ConfigError, Loaded, SecretRef, SettingOrigin, SettingsShown};
pub use event_lines::{EventLine, EventLines, LogEvent};
pub use failure_log::{FailureLog, peer_network};
pub use health::Health;
pub use log_limit::LogLimit;
pub use metrics::MetricsRegistry;
pub use process_usage::ProcessUsage;
pub use reload::{Reload, ReloadHandle, ReloadMetrics, ReloadResult};
pub use reloadable::Reloadable;
pub use service_manager::ServiceManager;
