//! Removes expired records from the journal.

use std::time::Duration;

use journal::{Journal, Retention, RetentionProgress};
use runtime::clock::now_ms;
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_secs(60);
/// Between two steps, so that other queries are not held up.
const STEP_PAUSE: Duration = Duration::from_millis(100);

/// Removes records that are older than the retention, in small steps, until `stop`. Any number of
/// processes may run it.
pub(super) async fn retain(journal: Journal, retention: Retention, stop: CancellationToken) {
    let removing = async {
        loop {
            tokio::time::sleep(INTERVAL).await;
            remove_expired(&journal, retention).await;
        }
    };
    stop.run_until_cancelled(removing).await;
}

async fn remove_expired(journal: &Journal, retention: Retention) {
    loop {
        let step = journal.apply_retention(retention, now_ms()).await;
        let RetentionProgress {
            callbacks,
            bodies,
            idempotency_keys,
            more,
        } = match step {
            Ok(progress) => progress,
            Err(error) => return tracing::warn!(%error, "failed to remove expired records"),
        };
        if callbacks > 0 || bodies > 0 {
            tracing::info!(
                callbacks,
                bodies,
                idempotency_keys,
                "expired records removed"
            );
        }
        if !more {
            return;
        }
        tokio::time::sleep(STEP_PAUSE).await;
    }
}
