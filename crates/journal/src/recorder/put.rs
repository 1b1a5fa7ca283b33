//! Writes a batch to the sink until it is durable.

use std::time::Duration;

use failpoints::sabotage;
use tokio_util::sync::CancellationToken;

use super::buffer::RecordBatch;
use super::shared::RecorderShared;
use super::sink::RecordSink;

/// A sink that takes longer counts as failed.
pub(super) const PUT_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const FIRST_RETRY_DELAY: Duration = Duration::from_millis(50);
pub(super) const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
/// The maximum delay while closing, which is limited to `CLOSE_TIMEOUT`.
const MAX_RETRY_DELAY_AT_CLOSE: Duration = Duration::from_millis(250);

/// Writes the batch again and again until it is durable. `false` when the recorder is aborted. Cancels
/// `failed` after the first failure.
pub(super) async fn put_until_durable(
    shared: &RecorderShared,
    sink: &dyn RecordSink,
    batch: &RecordBatch,
    failed: &CancellationToken,
) -> bool {
    let mut delay = FIRST_RETRY_DELAY;
    sabotage!("late-records", {
        failed.cancel();
        retry_pause(shared, Duration::from_secs(1)).await;
    });
    loop {
        let put = tokio::time::timeout(PUT_TIMEOUT, sink.put(batch.records(), Some(batch.span())));
        let put = tokio::select! {
            put = put => put.unwrap_or_else(|_| Err("timed out".to_owned())),
            () = shared.aborted.cancelled() => return false,
        };
        let Err(reason) = put else {
            shared.late.sink_took();
            return true;
        };
        failed.cancel();
        let records = batch.records().len();
        if records == 0 {
            tracing::debug!(
                reason,
                "a batch without records could not be written; retrying"
            );
        } else {
            tracing::warn!(
                records,
                reason,
                "records could not be written to the journal; retrying"
            );
        }
        retry_pause(shared, delay).await;
        delay = (delay * 2).min(MAX_RETRY_DELAY);
    }
}

/// Waits before a retry: only briefly while closing.
pub(super) async fn retry_pause(shared: &RecorderShared, delay: Duration) {
    if shared.closing.is_cancelled() {
        tokio::time::sleep(delay.min(MAX_RETRY_DELAY_AT_CLOSE)).await;
    } else {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = shared.closing.cancelled() => {}
        }
    }
}
