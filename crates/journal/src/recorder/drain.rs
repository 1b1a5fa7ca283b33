//! Writes what is in the spool to the sink, once the sink works.
//!
//! A slow sink works as well: every batch that it takes shows that it will take more. Batches that
//! follow each other are put together, so that the spool is emptied faster than it is filled.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::coalesce::{MergedBatch, SpooledBatch, coalesce};
use super::put::{FIRST_RETRY_DELAY, MAX_RETRY_DELAY, PUT_TIMEOUT, retry_pause};
use super::shared::RecorderShared;
use super::sink::RecordSink;
use super::spool::{Frame, FrameId, Spool};
use crate::model::decode_batch;

/// How many puts from the spool are under way at a time.
const MAX_PUTS: usize = 8;
/// Before the spool is read again when nothing in it can be put: what is in it is being put already, or
/// cannot be read at present.
const IDLE_DELAY: Duration = Duration::from_millis(250);

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
    let (mut delay, mut drained, mut taken) = (FIRST_RETRY_DELAY, 0, 0);
    // An error means that the spool's thread has ended.
    while content.wait_for(|content| content.frames > 0).await.is_ok() {
        // The batches in flight find out when the sink works again.
        taken = shared.late.sink_works(taken).await;
        let batches = coalesce(decode(spool, spool.oldest().await));
        if batches.is_empty() {
            tokio::time::sleep(IDLE_DELAY).await;
            continue;
        }
        match put_all(shared, sink, spool, batches).await {
            Ok(records) => {
                drained += records;
                delay = FIRST_RETRY_DELAY;
                if content.borrow().records <= records {
                    tracing::info!(records = drained, "spooled records are published");
                    drained = 0;
                }
            }
            Err(reason) => {
                taken = shared.late.taken();
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

/// What this version cannot decode is kept for another one.
fn decode(spool: &Spool, frames: Vec<(FrameId, Frame)>) -> Vec<SpooledBatch> {
    let mut batches = Vec::with_capacity(frames.len());
    for (id, frame) in frames {
        match decode_batch(&frame.body) {
            Ok(batch) => batches.push(SpooledBatch { id, frame, batch }),
            Err(error) => spool.keep_undecodable(id, frame, error.to_string()),
        }
    }
    batches
}

/// Puts several batches at the same time. Returns how many records are durable, or why a batch is not.
async fn put_all(
    shared: &RecorderShared,
    sink: &Arc<dyn RecordSink>,
    spool: &Spool,
    batches: Vec<MergedBatch>,
) -> Result<u64, String> {
    let mut batches = batches.into_iter();
    let mut putting = JoinSet::new();
    let mut all = Ok(0);
    loop {
        while all.is_ok()
            && putting.len() < MAX_PUTS
            && let Some(batch) = batches.next()
        {
            let sink = Arc::clone(sink);
            putting.spawn(async move {
                let durable = put(&*sink, &batch).await;
                (batch, durable)
            });
        }
        let Some(put) = putting.join_next().await else {
            return all;
        };
        match put {
            Ok((batch, Ok(()))) => {
                shared.late.sink_took();
                let records = u64::try_from(batch.records.len()).unwrap_or(u64::MAX);
                all = all.map(|sum| sum + records);
                for id in batch.frames {
                    spool.confirm(id);
                }
                if let Some((id, frame)) = batch.partly_decoded {
                    let reason = "records of an unknown kind".to_owned();
                    spool.keep_undecodable(id, frame, reason);
                }
            }
            Ok((_, Err(reason))) => all = Err(reason),
            Err(_) => all = Err("the task that wrote it panicked".to_owned()),
        }
    }
}

async fn put(sink: &dyn RecordSink, batch: &MergedBatch) -> Result<(), String> {
    let put = sink.put(&batch.records, batch.span.as_ref());
    let put = tokio::time::timeout(PUT_TIMEOUT, put).await;
    put.unwrap_or_else(|_| Err("timed out".to_owned()))
}
