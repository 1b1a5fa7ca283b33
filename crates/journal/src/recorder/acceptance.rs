//! A callback that is being accepted: its record may still come.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::buffer::RecordDropped;
use super::numbering::AcceptanceKey;
use super::shared::{RecorderTasks, now_ms};
use crate::model::{Record, generated_at, mark};

/// An acceptance under way. While it is, the recorder claims nothing of the time since it began. If it is
/// dropped, perhaps because its caller went away, the callback may be queued: its time stays open.
#[derive(Debug)]
pub struct PendingAcceptance {
    recorder: Arc<RecorderTasks>,
    key: AcceptanceKey,
    /// Nothing has been said of its end yet.
    in_doubt: bool,
}

impl PendingAcceptance {
    pub(super) fn begin(recorder: Arc<RecorderTasks>) -> Self {
        let key = recorder.shared.buffer().begin(now_ms());
        Self {
            recorder,
            key,
            in_doubt: true,
        }
    }

    /// A new id. While the journal may not know this recorder, or the clock has been set back, it tells
    /// so: such an id is not denied.
    pub fn new_request_id(&self) -> Uuid {
        let id = Uuid::now_v7();
        let registered = self.recorder.shared.registered.load(Ordering::Acquire);
        let mut buffer = self.recorder.shared.buffer();
        let proven = buffer.generated(self.key, generated_at(id));
        drop(buffer);
        match registered && proven {
            true => id,
            false => mark(id),
        }
    }

    /// Buffers the record, as [`super::Recorder::record`].
    pub fn record(mut self, record: Record) {
        self.in_doubt = false;
        self.recorder.shared.push(record, None);
    }

    /// Buffers the record and waits until it is durable.
    ///
    /// # Errors
    /// As [`super::Recorder::record_durably`].
    pub async fn record_durably(mut self, record: Record) -> Result<(), RecordDropped> {
        let (durable, wait) = oneshot::channel();
        self.in_doubt = false;
        self.recorder.shared.push(record, Some(durable));
        drop(self);
        // The sender is dropped with the record.
        wait.await.map_err(|_| RecordDropped)
    }

    /// Nothing was queued under its id: there is nothing to record.
    pub fn not_accepted(mut self) {
        self.in_doubt = false;
    }
}

impl Drop for PendingAcceptance {
    fn drop(&mut self) {
        let mut buffer = self.recorder.shared.buffer();
        if self.in_doubt {
            buffer.skip(now_ms());
        }
        buffer.end(self.key);
    }
}
