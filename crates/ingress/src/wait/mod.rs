//! Waits for outcomes on behalf of callers.
//!
//! - `reply.rs`: for the first attempt, by the dispatchers' replies.
//! - `status.rs`: for a status in the journal, by one poll for all waiters.

pub(crate) mod reply;
pub(crate) mod status;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Every wait ends at its deadline, or when the process stops.
pub(crate) async fn deadline_or_stop(deadline: Instant, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep_until(deadline) => {}
        () = stop.cancelled() => {}
    }
}
