//! The bounds of the listeners of a process.

use std::net::IpAddr;
use std::sync::Arc;

use super::config::HttpConfig;
use super::connections::{ConnectionCaps, Connections};
use super::metrics::HttpMetrics;
use super::options::{Audience, ServeOptions};
use crate::MetricsRegistry;
use crate::service_manager::Heartbeats;

/// The bounds of the listeners of a process, and their metrics. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    config: HttpConfig,
    /// How many files the process may have open.
    max_open_files: u64,
    metrics: HttpMetrics,
    heartbeats: Heartbeats,
}

impl HttpLimits {
    /// The bounds in the settings, for a process that may have so many files open.
    pub fn new(config: &HttpConfig, max_open_files: u64, registry: &MetricsRegistry) -> Self {
        Self {
            config: config.clone(),
            max_open_files,
            metrics: registry.add(HttpMetrics::register),
            heartbeats: Heartbeats::default(),
        }
    }

    /// The default bounds, counted nowhere: for a server without metrics.
    #[must_use]
    pub fn uncounted() -> Self {
        let registry = MetricsRegistry::new();
        Self::new(&HttpConfig::default(), u64::MAX, &registry)
    }

    /// Whether the workers of the listeners run.
    #[must_use]
    pub const fn heartbeats(&self) -> &Heartbeats {
        &self.heartbeats
    }

    /// Whether the peer is a trusted proxy, behind which many are one peer.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.config.trusts(peer)
    }

    /// The connections of a listener, and how many it may have.
    pub(super) fn connections(&self, options: &ServeOptions) -> (Arc<Connections>, usize) {
        let max = max_connections(self.config.max_connections, self.max_open_files, options);
        if max < self.config.max_connections && options.audience == Audience::Callers {
            tracing::warn!(
                listener = options.name,
                max_connections = max,
                open_files = self.max_open_files,
                "http.max_connections is lowered: the process may not have more files open"
            );
        }
        let caps = ConnectionCaps {
            max,
            max_per_peer: self.config.max_connections_per_peer,
            trusted: self.config.trusted_proxies.clone(),
        };
        let metrics = self.metrics.listener(options.name);
        (Connections::new(caps, metrics), max)
    }
}

/// The cap of a listener. Half of the files remain for the broker, the targets and the store, since a
/// process has at most one listener for callers and three others.
fn max_connections(configured: usize, open_files: u64, options: &ServeOptions) -> usize {
    let share = match options.audience {
        Audience::Callers => open_files / 16 * 5,
        Audience::Operators | Audience::Practice => open_files / 16,
    };
    let share = usize::try_from(share).unwrap_or(usize::MAX);
    configured.min(share).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_cap_leaves_half_of_the_files() {
        let cap = |audience, configured, open_files| {
            let options = ServeOptions {
                name: "test",
                audience,
                body_timeout: None,
                workers: 1,
                shutdown_timeout: Duration::ZERO,
            };
            max_connections(configured, open_files, &options)
        };
        for (open_files, callers, operators) in [
            (1_024, 320, 64),
            (64, 20, 4),
            (4, 1, 1),
            (524_288, 10_000, 10_000),
            (u64::MAX, 10_000, 10_000),
        ] {
            assert_eq!(cap(Audience::Callers, 10_000, open_files), callers);
            assert_eq!(cap(Audience::Operators, 10_000, open_files), operators);
        }
        assert_eq!(cap(Audience::Callers, 7, 1_024), 7);
    }
}
