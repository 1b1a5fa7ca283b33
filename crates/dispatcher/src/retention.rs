//! How does the journal forget what is old, without disturbing anybody?

use crate::attempt::unix_ms;
use journal::{Journal, Retained, Retention};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(60);
/// Between two steps, so that others have their turn.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes away what is older than the retention, in small steps, until `stop`. Any number of
/// processes may.
pub async fn retain(journal: Journal, retention: Retention, stop: CancellationToken) {
    let forgetting = async {
        loop {
            tokio::time::sleep(EVERY).await;
            forget(&journal, retention).await;
        }
    };
    stop.run_until_cancelled(forgetting).await;
}

async fn forget(journal: &Journal, retention: Retention) {
    loop {
        let step = journal.retain(retention, unix_ms(SystemTime::now())).await;
        let Retained {
            callbacks,
            bodies,
            claims,
            more,
        } = match step {
            Ok(retained) => retained,
            Err(error) => return tracing::warn!(%error, "nothing old is taken away for now"),
        };
        if callbacks > 0 || bodies > 0 {
            tracing::info!(callbacks, bodies, claims, "old records taken away");
        }
        if !more {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}
