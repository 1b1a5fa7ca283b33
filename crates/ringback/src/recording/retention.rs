//! Removes expired records from the journal.

use std::time::Duration;

use journal::{Journal, JournalError, Retention, RetentionProgress};
use runtime::clock::now_ms;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::metrics::RecordingMetrics;

const INTERVAL: Duration = Duration::from_secs(60);
/// Between two steps, so that other queries are not held up.
const STEP_PAUSE: Duration = Duration::from_millis(100);
/// How often unfinished callbacks are reported, while their number stays the same.
const REPORT_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Removes records that are older than the retention, in small steps, until `stop`. Any number of
/// processes may run it.
pub(super) async fn retain(
    journal: Journal,
    retention: Retention,
    metrics: RecordingMetrics,
    stop: CancellationToken,
) {
    let removing = async {
        let mut reported = None;
        loop {
            tokio::time::sleep(INTERVAL).await;
            match remove_expired(&journal, retention).await {
                Ok(unfinished) => {
                    metrics.set_unfinished_past_retention(unfinished);
                    report(unfinished, &mut reported);
                }
                Err(error) => tracing::warn!(%error, "failed to remove expired records"),
            }
        }
    };
    stop.run_until_cancelled(removing).await;
}

/// Runs all steps. Returns how many callbacks past their retention have not ended.
async fn remove_expired(journal: &Journal, retention: Retention) -> Result<u64, JournalError> {
    loop {
        let RetentionProgress {
            callbacks,
            dead_letters,
            audits,
            rollups,
            idempotency_keys,
            more,
            unfinished,
        } = journal.apply_retention(retention, now_ms()).await?;
        if callbacks > 0 || dead_letters > 0 || audits > 0 {
            tracing::info!(
                callbacks,
                dead_letters,
                audits,
                rollups,
                idempotency_keys,
                "expired records removed"
            );
        }
        if !more {
            return Ok(unfinished);
        }
        tokio::time::sleep(STEP_PAUSE).await;
    }
}

/// Warns of unfinished callbacks when their number changes, and at times.
fn report(unfinished: u64, reported: &mut Option<(u64, Instant)>) {
    let known = reported.is_some_and(|(count, at)| {
        count == unfinished && (unfinished == 0 || at.elapsed() < REPORT_INTERVAL)
    });
    if known {
        return;
    }
    if unfinished > 0 {
        tracing::warn!(
            unfinished,
            "callbacks past journal.retention have not ended: they are kept. They still wait, or \
             the records of their end were lost"
        );
    }
    *reported = Some((unfinished, Instant::now()));
}
