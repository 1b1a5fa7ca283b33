//! What the checks look at besides what the other routes use.

use std::sync::Arc;

use runtime::Health;

/// What the checks need of the process besides what the other routes use.
#[derive(Clone, Debug)]
pub struct DoctorSources {
    /// Role, machine and process: `dispatcher@host:123`.
    pub process: String,
    /// What `/readyz` says.
    pub health: Arc<Health>,
    /// Whether the process makes attempts.
    pub dispatches: bool,
    /// `broker.min_free_bytes`.
    pub min_free_bytes: u64,
}
