//! Metrics of the operators' listener.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use runtime::metrics::{Labeled, Registry};

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
                &REASONS,
            )),
        }
    }

    pub(super) fn auth_failure(&self, code: ProblemCode) {
        self.auth_failures.with(code.as_str(), Counter::inc);
    }
}
