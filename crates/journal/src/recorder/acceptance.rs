//! A callback that is being accepted: its record may still come.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use uuid::Uuid;

use super::buffer::RecordDropped;
use super::numbering::AcceptanceKey;
use super::shared::{RecorderTasks, now_ms};
use crate::model::{Record, mark};

/// An acceptance under way. While it is, the recorder claims nothing of the time since it began. If it is
/// dropped, there was nothing to record.
#[derive(Debug)]
pub struct PendingAcceptance {
    recorder: Arc<RecorderTasks>,
    key: AcceptanceKey,
}

impl PendingAcceptance {
    pub(super) fn begin(recorder: Arc<RecorderTasks>) -> Self {
        let key = recorder.shared.buffer().begin(now_ms());
        Self { recorder, key }
    }

    /// A new id. While the journal may not know this recorder, it tells so: such an id is never denied.
    pub fn new_request_id(&self) -> Uuid {
        let id = Uuid::now_v7();
        match self.recorder.shared.registered.load(Ordering::Acquire) {
            true => id,
            false => mark(id),
        }
    }

    /// Buffers the record, as [`super::Recorder::record`].
    pub fn record(self, record: Record) {
        self.recorder.shared.push(record, None);
    }

    /// Buffers the record and waits until it is durable.
    ///
    /// # Errors
    /// As [`super::Recorder::record_durably`].
    pub async fn record_durably(self, record: Record) -> Result<(), RecordDropped> {
        let (durable, wait) = oneshot::channel();
        self.recorder.shared.push(record, Some(durable));
        drop(self);
        // The sender is dropped with the record.
        wait.await.map_err(|_| RecordDropped)
    }

    /// The callback may be queued, and nothing will be recorded here: its time stays open.
    pub fn in_doubt(self) {
        self.recorder.shared.buffer().skip(now_ms());
    }
}

impl Drop for PendingAcceptance {
    fn drop(&mut self) {
        self.recorder.shared.buffer().end(self.key);
    }
}
