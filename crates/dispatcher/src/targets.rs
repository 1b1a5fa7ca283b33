//! What can be seen of the targets that this process calls?

use crate::gates::Gates;
use crate::pauses::Pauses;
use boot::Metrics;
use delivery::limits::{Busiest, Key};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How often the metrics are brought up to date.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// The targets and callees that a dispatcher knows. Cheap to clone.
#[derive(Clone)]
pub struct Targets(Arc<Gates>);

impl Default for Targets {
    /// Of a process that calls nobody.
    fn default() -> Self {
        Self(Gates::new([1, 1], Pauses::default()))
    }
}

impl Targets {
    pub(crate) fn of(gates: &Arc<Gates>) -> Self {
        Self(Arc::clone(gates))
    }

    /// The `most` keys with the most traffic in this process, most first, and the others folded.
    /// A key that nobody has asked for lately may be forgotten.
    pub fn seen(&self, most: usize) -> Busiest {
        self.0.seen(most)
    }

    /// Whether this key is paused, as far as this process knows.
    pub fn is_paused(&self, key: &Key) -> bool {
        self.0.pauses().holds(key)
    }
}

/// Shows the busiest ones in the metrics until `stop`.
pub(crate) async fn show(gates: Arc<Gates>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut every = tokio::time::interval(SHOW_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(every.tick()).await.is_some() {
        metrics.targets(gates.figures());
        metrics.pauses(gates.pauses().count());
    }
}
