//! Writes what is in the spool to the sink, once the sink works.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::put::{FIRST_RETRY_DELAY, MAX_RETRY_DELAY, PUT_TIMEOUT, retry_pause};
use super::shared::RecorderShared;
use super::sink::RecordSink;
use super::spool::{Frame, FrameId, OldestFrames, Spool};
use crate::model::decode_batch;

/// How a spooled batch was put.
#[derive(Debug)]
enum Put {
    Durable,
    /// It cannot be decoded: so many records are lost.
    Unreadable(u32),
    Failed(String),
}

/// Empties the spool until `finished`, or the recorder is aborted.
pub(super) async fn drain(
    shared: Arc<RecorderShared>,
    sink: Arc<dyn RecordSink>,
    finished: CancellationToken,
) {
    let Some(spool) = &shared.spool else { return };
    let done = async {
        finished.cancelled().await;
        let mut content = spool.content();
        let _ = content.wait_for(|content| content.frames == 0).await;
    };
    tokio::select! {
        () = done => {}
        () = shared.aborted.cancelled() => {}
        () = empty_again_and_again(&shared, &sink, spool) => {}
    }
}

async fn empty_again_and_again(shared: &RecorderShared, sink: &Arc<dyn RecordSink>, spool: &Spool) {
    let mut content = spool.content();
    let (mut delay, mut drained) = (FIRST_RETRY_DELAY, 0);
    // An error means that the spool's thread has ended.
    while content.wait_for(|content| content.frames > 0).await.is_ok() {
        // The batches in flight find out when the sink works again.
        shared.late.none().await;
        let OldestFrames {
            frames,
            lost_records,
        } = spool.oldest().await;
        shared.count_dropped(usize::try_from(lost_records).unwrap_or(usize::MAX));
        if frames.is_empty() {
            // What was in it has been confirmed meanwhile.
            tokio::time::sleep(FIRST_RETRY_DELAY).await;
            continue;
        }
        match put_all(shared, sink, spool, frames).await {
            Ok(records) => {
                drained += records;
                delay = FIRST_RETRY_DELAY;
                if content.borrow().records <= records {
                    tracing::info!(records = drained, "spooled records are published");
                    drained = 0;
                }
            }
            Err(reason) => {
                tracing::warn!(
                    reason,
                    "spooled records could not be written to the journal; retrying"
                );
                retry_pause(shared, delay).await;
                delay = (delay * 2).min(MAX_RETRY_DELAY);
            }
        }
    }
}

/// Puts the batches at the same time. Returns how many records are durable, or why a batch is not.
async fn put_all(
    shared: &RecorderShared,
    sink: &Arc<dyn RecordSink>,
    spool: &Spool,
    frames: Vec<(FrameId, Frame)>,
) -> Result<u64, String> {
    let mut putting = JoinSet::new();
    for (id, frame) in frames {
        let sink = Arc::clone(sink);
        putting.spawn(async move {
            let records = frame.records;
            (id, records, put(&*sink, &frame, PUT_TIMEOUT).await)
        });
    }
    let mut all = Ok(0);
    while let Some(put) = putting.join_next().await {
        let Ok((id, records, put)) = put else {
            all = Err("the task that wrote it panicked".to_owned());
            continue;
        };
        match put {
            Put::Durable => {
                spool.confirm(id);
                all = all.map(|sum| sum + u64::from(records));
            }
            Put::Unreadable(records) => {
                spool.confirm(id);
                shared.count_dropped(usize::try_from(records).unwrap_or(usize::MAX));
            }
            Put::Failed(reason) => all = Err(reason),
        }
    }
    all
}

async fn put(sink: &dyn RecordSink, frame: &Frame, timeout: Duration) -> Put {
    let batch = match decode_batch(&frame.body) {
        Ok(batch) => batch,
        Err(error) => {
            let records = frame.records;
            tracing::error!(%error, records, "unreadable batch of spooled records dropped");
            return Put::Unreadable(records);
        }
    };
    match tokio::time::timeout(timeout, sink.put(&batch.records, batch.span.as_ref())).await {
        Ok(Ok(())) => Put::Durable,
        Ok(Err(reason)) => Put::Failed(reason),
        Err(_) => Put::Failed("timed out".to_owned()),
    }
}
