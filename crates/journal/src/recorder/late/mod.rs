//! Batches that the sink does not take in time: they go to the spool, and are tried again.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::buffer::RecordBatch;
use super::put::put_until_durable;
use super::shared::RecorderShared;
use super::sink::RecordSink;
use super::spool::{Frame, FrameId, FrameUse, Spool};
use crate::model::encode_batch;

/// A batch that is not durable by then is late. A healthy sink takes a tenth of it.
const LATE_AFTER: Duration = Duration::from_millis(500);
/// A batch that goes to the spool directly, and is not full, waits for more records for so long: while
/// the sink is slow, few large batches leave the spool faster than many small ones.
pub(super) const SPOOL_BATCH_DELAY: Duration = Duration::from_millis(200);
/// Before a batch is offered again to a spool that did not take it.
const SPOOL_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Writes a batch to the sink; if that takes long, to the spool first. Callers that wait are notified
/// by the first of the two.
pub(super) async fn put_or_spool(
    shared: &RecorderShared,
    sink: &dyn RecordSink,
    mut batch: RecordBatch,
) {
    let waiting = batch.take_waiting();
    let failed = CancellationToken::new();
    let mut putting = pin!(put_until_durable(shared, sink, &batch, &failed));
    let Some(spool) = &shared.spool else {
        if putting.await {
            complete(shared, &batch, waiting);
        }
        return;
    };
    tokio::select! {
        biased;
        durable = &mut putting => {
            if durable {
                complete(shared, &batch, waiting);
            }
            return;
        }
        () = failed.cancelled() => {}
        () = tokio::time::sleep(LATE_AFTER) => {}
    }
    let _late = shared.late.begin();
    // The put goes on meanwhile: it does not depend on the disk.
    let spooled = tokio::select! {
        biased;
        durable = &mut putting => {
            if durable {
                complete(shared, &batch, waiting);
            }
            return;
        }
        spooled = append(shared, spool, &batch, FrameUse::BeingPut) => spooled,
    };
    if spooled.is_some() {
        shared.buffer().spooled(&batch);
        notify(waiting);
    } else {
        drop(waiting); // The record stays in memory, for nobody knows how long.
    }
    if putting.await {
        shared.buffer().complete(&batch);
        if let Some(id) = spooled {
            spool.confirm(id);
        }
    }
}

/// In this order: once a caller is notified, its record no longer counts as buffered.
fn complete(shared: &RecorderShared, batch: &RecordBatch, waiting: Vec<oneshot::Sender<()>>) {
    shared.buffer().complete(batch);
    notify(waiting);
}

fn notify(waiting: Vec<oneshot::Sender<()>>) {
    for caller in waiting {
        let _ = caller.send(());
    }
}

/// Spools a batch while all that may be in flight are late. Returns it, with a permit to send it, if
/// the spool does not take it until there is one.
pub(super) async fn spool_or_wait(
    shared: &RecorderShared,
    spool: &Spool,
    mut batch: RecordBatch,
    in_flight: &Arc<Semaphore>,
) -> Option<(RecordBatch, OwnedSemaphorePermit)> {
    while append(shared, spool, &batch, FrameUse::Waiting)
        .await
        .is_none()
    {
        drop(batch.take_waiting());
        tokio::select! {
            permit = Arc::clone(in_flight).acquire_owned() => return Some((batch, permit.ok()?)),
            () = tokio::time::sleep(SPOOL_RETRY_DELAY) => {}
            () = shared.aborted.cancelled() => return None,
        }
    }
    let waiting = batch.take_waiting();
    complete(shared, &batch, waiting);
    None
}

async fn append(
    shared: &RecorderShared,
    spool: &Spool,
    batch: &RecordBatch,
    frame_use: FrameUse,
) -> Option<FrameId> {
    let frame = Frame {
        body: encode_batch(batch.records(), Some(batch.span())),
        records: u32::try_from(batch.records().len()).unwrap_or(u32::MAX),
        recorded_at: unix_ms(batch.oldest()),
    };
    let late = &shared.late;
    match spool.append(frame, frame_use).await {
        Ok(id) => {
            if late.spool_took() {
                tracing::info!("the spool takes records again");
            }
            Some(id)
        }
        Err(error) => {
            if late.spool_failed() {
                let directory = spool.directory().display();
                tracing::error!(
                    %error,
                    %directory,
                    "records cannot be spooled: they stay in memory, and a killed process loses them"
                );
            }
            None
        }
    }
}

fn unix_ms(at: Instant) -> u64 {
    let at = SystemTime::now().checked_sub(at.elapsed());
    let since = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The instant of a time in Unix ms, which may lie before the start of the machine.
pub(super) fn instant(unix_ms: u64) -> Option<Instant> {
    let now = Instant::now();
    let at = UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms))?;
    now.checked_sub(SystemTime::now().duration_since(at).unwrap_or_default())
}

#[cfg(test)]
mod tests;
