//! How does a process start, how is it seen, and how does it stop?
//!
//! This crate knows nothing of callbacks and depends on none of our crates. A role asks it for
//! settings, logs, metrics, a health page and a stop token, in that order.

pub mod chance;
pub mod health;
mod live;
pub mod metrics;
pub mod reload;
pub mod settings;
pub mod stop;
pub mod telemetry;

pub use health::Health;
pub use live::Live;
pub use metrics::Metrics;
pub use reload::Reload;
pub use settings::{Loaded, Settings, SettingsError};
