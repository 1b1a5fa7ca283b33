//! Slows the intake down while first attempts are late, so that whoever pushes harder makes nobody
//! later than `ingress.target_delay`.
//!
//! Probes through `first` tell how late what is received is, and how much of what this process
//! publishes is received a second. While it is late, callbacks that are due at once are admitted at
//! that pace: each waits its turn for a moment, and is refused if its turn does not come. Nothing is
//! refused for what is not known: without answers (no dispatcher, deliveries stopped) all are
//! admitted, and the bounds of `admission.rs` hold alone.
//!
//! - `controller.rs`: decides how many a second are admitted
//! - `flights.rs`: the probes on their way
//! - `turns.rs`: the turns of callbacks under a limit
//! - `watch.rs`: sends the probes, and grants the turns

mod controller;
mod flights;
#[cfg(test)]
mod simulation;
mod turns;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use broker::Broker;
use contract::Answer;
use runtime::LogLimit;
use tokio_util::task::AbortOnDropHandle;

use self::turns::{Turn, Turns};
use crate::metrics::{IngressMetrics, SlowedResult};
use crate::rejection::Rejection;

/// The longest wait for a turn, whatever the delay that is aimed at.
const MAX_WAIT: Duration = Duration::from_secs(2);

static REFUSED: LogLimit = LogLimit::new();

/// The throttle of one process.
pub(crate) struct IntakeThrottle {
    turns: Arc<Turns>,
    metrics: Arc<IngressMetrics>,
    max_wait: Duration,
    /// `None`: never limited.
    _watch: Option<AbortOnDropHandle<()>>,
}

impl IntakeThrottle {
    /// Keeps first attempts within this delay; zero: does nothing. Call it inside a Tokio runtime.
    pub(crate) fn start(
        broker: &Broker,
        target_delay: Duration,
        metrics: Arc<IngressMetrics>,
    ) -> Self {
        let turns = Arc::new(Turns::new());
        let watch = (!target_delay.is_zero()).then(|| {
            let watch = watch::run(
                broker.clone(),
                target_delay,
                Arc::clone(&turns),
                Arc::clone(&metrics),
            );
            AbortOnDropHandle::new(tokio::spawn(watch))
        });
        Self {
            turns,
            metrics,
            max_wait: (target_delay / 2).min(MAX_WAIT),
            _watch: watch,
        }
    }

    /// Admits a callback that is due at once, after its turn has come.
    ///
    /// # Errors
    /// A 503 without an id, when that takes too long.
    pub(crate) async fn admit(&self) -> Result<(), Rejection> {
        match self.turns.take(self.max_wait).await {
            Turn::AtOnce => Ok(()),
            Turn::Waited => {
                self.metrics.slowed(SlowedResult::Admitted);
                Ok(())
            }
            Turn::Missed => {
                self.metrics.slowed(SlowedResult::Refused);
                if let Some(suppressed) = REFUSED.permit() {
                    tracing::warn!(suppressed, "callback rejected: first attempts are late");
                }
                Err(Answer::Unavailable.into())
            }
        }
    }

    /// A callback was published to `first`.
    pub(crate) fn published(&self) {
        self.turns.one_published();
    }
}
