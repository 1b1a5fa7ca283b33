//! Counts the unfinished callbacks by state, for the metrics.
//!
//! One process at a time does this, with a lease in the journal. The others show nothing.

use std::time::Duration;

use contract::duration_ms;
use journal::{Journal, JournalError, UnfinishedStates};
use runtime::clock::now_ms;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics::RecordingMetrics;

const LEASE: &str = "callbacks.states";
const INTERVAL: Duration = Duration::from_secs(30);
/// Longer than the interval, so that the figures stay with one process.
const LEASE_DURATION: Duration = Duration::from_secs(75);
/// At most so many callbacks are read, the oldest ones, or so many of each status.
const LIMIT: u32 = 50_000;

/// Counts until `stop`.
pub(super) async fn count_states(
    journal: Journal,
    owner: Uuid,
    metrics: RecordingMetrics,
    stop: CancellationToken,
) {
    let counting = async {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let states = read(&journal, owner).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "unfinished callbacks are not counted by state");
                None
            });
            metrics.set_states(states.as_ref());
        }
    };
    stop.run_until_cancelled(counting).await;
}

/// `None`: another process counts.
async fn read(journal: &Journal, owner: Uuid) -> Result<Option<UnfinishedStates>, JournalError> {
    let now = now_ms();
    let until = now.saturating_add(duration_ms(LEASE_DURATION));
    if !journal.take_lease(LEASE, owner, now, until).await? {
        return Ok(None);
    }
    journal.unfinished_states(now, LIMIT).await.map(Some)
}
