//! Settings of the dispatcher, of registered callees and of automatic pauses.
//!
//! - `callee.rs`: `callees.NO`

mod callee;

use runtime::config::{duration_in_range, duration_text, in_range};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

pub use callee::{CalleeAuth, CalleeConfig, validate_callees};

const HOUR: Duration = Duration::from_secs(60 * 60);
/// A shorter timeout is probably in the wrong unit.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
/// The maximum of `options.timeout_seconds`, as in the contract.
const MAX_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Section `dispatcher`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DispatcherConfig {
    /// The address and port of the dispatcher's health and metrics.
    pub listen: SocketAddr,
    /// The maximum number of first attempts in flight. 16 bits, because it becomes an AMQP prefetch.
    pub first_concurrency: u16,
    /// The maximum number of retries in flight.
    pub retry_concurrency: u16,
    /// How long a stop waits for attempts in flight. Longer than an attempt may last.
    #[serde(with = "humantime_serde")]
    pub shutdown_timeout: Duration,
    /// The longest time for connecting to a target.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The longest time for a whole attempt, unless the request sets its own.
    #[serde(with = "humantime_serde")]
    pub attempt_timeout: Duration,
    /// The name servers to ask. Empty: the system's.
    pub dns_servers: Vec<SocketAddr>,
    /// PEM: trusted roots for targets, in addition to the system's.
    pub ca_file: Option<PathBuf>,
}

impl Default for DispatcherConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5108)),
            first_concurrency: 256,
            retry_concurrency: 64,
            // Longer than the longest attempt that a request may ask for (60 s).
            shutdown_timeout: Duration::from_secs(75),
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(15),
            dns_servers: Vec::new(),
            ca_file: None,
        }
    }
}

impl DispatcherConfig {
    /// Reports each value outside its range.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        let shutdown = MIN_TIMEOUT..=HOUR;
        let timeouts = [
            (
                "connect_timeout",
                self.connect_timeout,
                MIN_TIMEOUT..=MAX_ATTEMPT_TIMEOUT,
            ),
            (
                "attempt_timeout",
                self.attempt_timeout,
                Duration::from_secs(1)..=MAX_ATTEMPT_TIMEOUT,
            ),
            ("shutdown_timeout", self.shutdown_timeout, shutdown.clone()),
        ];
        let timeouts = timeouts.map(|(key, value, range)| (key, duration_in_range(value, range)));
        let concurrency = [
            ("first_concurrency", self.first_concurrency),
            ("retry_concurrency", self.retry_concurrency),
        ];
        let concurrency = concurrency.map(|(key, value)| (key, in_range(value, 1..=u16::MAX)));
        for (key, result) in concurrency.into_iter().chain(timeouts) {
            if let Err(reason) = result {
                report(key, reason);
            }
        }
        // An attempt that a stop cuts off would be made twice.
        if shutdown.contains(&self.shutdown_timeout) && self.shutdown_timeout <= MAX_ATTEMPT_TIMEOUT
        {
            let [timeout, longest] =
                [self.shutdown_timeout, MAX_ATTEMPT_TIMEOUT].map(duration_text);
            let reason = format!("{timeout} is not longer than the longest attempt ({longest})");
            report("shutdown_timeout", reason);
        }
    }
}

/// Section `auto_pause`: pauses without an operator. Off by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoPauseConfig {
    /// Whether an answer 410 pauses the callee, or the whole target of a caller's URL.
    pub on_gone: bool,
    /// Pauses a target that has only failed for this long. Zero: never.
    #[serde(with = "humantime_serde")]
    pub after: Duration,
}

impl AutoPauseConfig {
    /// Reports a value outside its range.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        if let Err(reason) = duration_in_range(self.after, Duration::ZERO..=30 * 24 * HOUR) {
            report("after", reason);
        }
    }
}

#[cfg(test)]
mod tests;
