//! Metrics of the operators' listener.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::metrics::{Labeled, Registry, add_seconds};

use super::error::ProblemCode;

/// The codes of rejected credentials.
const REASONS: [&str; 4] = [
    ProblemCode::Unauthenticated.as_str(),
    ProblemCode::InsufficientRole.as_str(),
    ProblemCode::ForeignOrigin.as_str(),
    ProblemCode::TooManyFailures.as_str(),
];

/// What the operators' listener counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AdminMetrics {
    auth_failures: Arc<Labeled<Counter>>,
    clock_spread: Family<[(&'static str, &'static str); 0], Gauge<f64, AtomicU64>>,
}

impl AdminMetrics {
    /// Registers the metrics.
    pub fn register(registry: &mut Registry) -> Self {
        Self {
            auth_failures: Arc::new(Labeled::register(
                registry,
                "operator_auth_failures",
                "Requests of operators that failed authentication or authorization, by reason",
                "reason",
                REASONS,
            )),
            clock_spread: add_seconds(
                registry,
                "clock_spread",
                "How far the fastest and the slowest clock of all processes are apart",
                Family::<_, Gauge<f64, AtomicU64>>::default(),
            ),
        }
    }

    /// The clocks of the processes are so far apart. `None`: that is not known.
    pub(super) fn set_clock_spread(&self, spread: Option<Duration>) {
        match spread {
            Some(spread) => {
                let gauge = self.clock_spread.get_or_create(&[]);
                gauge.set(spread.as_secs_f64());
            }
            None => _ = self.clock_spread.remove(&[]),
        }
    }

    pub(super) fn auth_failure(&self, code: ProblemCode) {
        self.auth_failures.with(code.as_str(), Counter::inc);
    }
}
