//! Metrics of the HTTP listeners.

use std::array;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::close_reason::CloseReason;
use crate::metrics::add;

type Label = (&'static str, &'static str);

/// What the listeners of a process count.
#[derive(Clone, Debug)]
pub(super) struct HttpMetrics {
    open: Family<[Label; 1], Gauge>,
    closed: Family<[Label; 2], Counter>,
}

/// What one listener counts.
#[derive(Clone, Debug)]
pub(super) struct ListenerMetrics {
    open: Gauge,
    /// In the order of [`CloseReason::ALL`].
    closed: [Counter; CloseReason::ALL.len()],
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            open: add(
                registry,
                "http_connections",
                "Open connections, by listener",
                Family::default(),
            ),
            closed: add(
                registry,
                "http_connections_closed",
                "Connections closed or refused, by listener and reason",
                Family::default(),
            ),
        }
    }

    /// The metrics of this listener, each series at zero from now on.
    pub(super) fn listener(&self, name: &'static str) -> ListenerMetrics {
        let listener = ("listener", name);
        let closed = |at: usize| {
            let reason = ("reason", CloseReason::ALL[at].as_str());
            self.closed.get_or_create_owned(&[listener, reason])
        };
        ListenerMetrics {
            open: self.open.get_or_create_owned(&[listener]),
            closed: array::from_fn(closed),
        }
    }
}

impl ListenerMetrics {
    pub(super) fn opened(&self) {
        self.open.inc();
    }

    pub(super) fn closed(&self, reason: CloseReason) {
        self.open.dec();
        self.refused(reason);
    }

    /// It was never counted as open.
    pub(super) fn refused(&self, reason: CloseReason) {
        let reasons = CloseReason::ALL.into_iter().zip(&self.closed);
        for (known, counter) in reasons {
            if known == reason {
                counter.inc();
            }
        }
    }
}
