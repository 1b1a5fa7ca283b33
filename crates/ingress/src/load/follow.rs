//! Reads the journal's counts each second, and publishes what admission uses.

use std::sync::Arc;
use std::time::Duration;

use journal::Journal;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{BrokerLoad, LoadTracker, MAX_APPS};
use crate::metrics::IngressMetrics;

const INTERVAL: Duration = Duration::from_secs(1);

/// A slower answer is none: the last reading holds.
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// Follows the broker and the journal until it is dropped. Without a journal there are no figures of
/// apps.
pub(crate) async fn follow(
    tracker: Arc<LoadTracker>,
    journal: Option<Journal>,
    metrics: Arc<IngressMetrics>,
) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_stale = false;
    loop {
        ticks.tick().await;
        let broker = BrokerLoad::of(&tracker.depths.borrow());
        tracker.with(|state| state.observe(&broker, tracker.now()));
        let Some(journal) = &journal else {
            continue;
        };
        let begun = tracker.now();
        let read = timeout(READ_TIMEOUT, journal.unfinished(MAX_APPS)).await;
        let failed = match read {
            Ok(Ok(counts)) => {
                let broker = BrokerLoad::of(&tracker.depths.borrow());
                let now = tracker.now();
                tracker.with(|state| state.read(counts, &broker, begun, now));
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it did not answer in time".to_owned()),
        };
        match (&failed, is_stale) {
            (Some(error), false) => {
                tracing::warn!(
                    error,
                    "unfinished callbacks of apps not read; the last counts hold"
                );
            }
            (None, true) => tracing::info!("unfinished callbacks of apps are read again"),
            (Some(_), true) | (None, false) => {}
        }
        is_stale = failed.is_some();
        let now = tracker.now();
        let (samples, stale_messages) = tracker.with(|state| (state.samples(now), state.stale));
        metrics.publish_apps(samples, is_stale, stale_messages);
    }
}
