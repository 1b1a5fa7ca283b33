//! Looks up and cancels callbacks in the journal, as far as a caller may see them.
//!
//! An accepted callback is never answered 404. Its record travels from the recorder of the accepting
//! process through the journal's queue into the journal. A 404 requires proof that no record of the id
//! can still be on its way: the journal knows of each recorder which of its records are stored
//! (`journal/src/model/stream.rs`). Without proof the answer is 503.

use std::time::Duration;

use broker::Depths;
use contract::{Answer, CallbackStatus, duration_ms};
use journal::{Callback, CancelOutcome, JournalError, JournalHandle};
use runtime::LogLimit;
use runtime::clock::now_ms;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::auth::Caller;
use crate::rejection::Rejection;
use crate::wait::status::{StatusPoller, WaitFor};
use crate::watermark::{QueueView, QueueWatermark, has_left_the_queue};

/// A callback that is due within this time may be in an attempt already.
const CANCEL_MARGIN: Duration = Duration::from_secs(2);

/// The longest time between the confirm of a publish and the handover of its record.
const MAX_RECORD_HANDOVER: Duration = Duration::from_secs(2);

/// How long a query waits until its process has told the journal that it holds no record.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

static JOURNAL_FAILED: LogLimit = LogLimit::new();

/// The journal, and how complete it is.
pub(crate) struct CallbackLookup {
    journal: JournalHandle,
    poller: StatusPoller,
    queue: QueueWatermark,
    publish_timeout: Duration,
}

/// The result of a cancellation.
pub(crate) enum CancelReport {
    /// The callback has ended, by this request or before it.
    Ended(Box<Callback>),
    /// An attempt may be in progress. The callback is cancelled when it waits again.
    CancelRequested,
}

impl CallbackLookup {
    /// Starts polling and tracking the journal. Call it inside a Tokio runtime.
    pub(crate) fn start(
        journal: JournalHandle,
        depths: watch::Receiver<Depths>,
        publish_timeout: Duration,
    ) -> Self {
        Self {
            poller: StatusPoller::start(journal.journal.clone()),
            queue: QueueWatermark::start(depths),
            journal,
            publish_timeout,
        }
    }

    /// The callback. `None` while its record may still be in transit to the journal.
    pub(crate) async fn load_visible(
        &self,
        caller: &Caller,
        request_id: Uuid,
    ) -> Result<Option<Callback>, Rejection> {
        if let Some(visible) = self.find_visible(caller, request_id).await? {
            return Ok(Some(visible));
        }
        if !self.is_absent(request_id).await? {
            return Ok(None);
        }
        // It may have arrived before the proof.
        match self.find_visible(caller, request_id).await? {
            None => Err(Answer::NotFound.into()),
            visible => Ok(visible),
        }
    }

    /// The callback, if the caller may see it: another app's must look like an unknown one.
    async fn find_visible(
        &self,
        caller: &Caller,
        request_id: Uuid,
    ) -> Result<Option<Callback>, Rejection> {
        let found = self.journal.journal.find(request_id).await;
        let found = found.map_err(|error| unavailable(request_id, &error))?;
        Ok(found.filter(|callback| caller.may_see(&callback.origin.app_id)))
    }

    /// Whether it is proven that no record of this id is on its way to the journal. The journal may
    /// have it by now: look once more.
    async fn is_absent(&self, request_id: Uuid) -> Result<bool, Rejection> {
        let now = now_ms();
        let view = QueueView {
            now,
            empty_until: self.queue.empty_until(),
            margin: duration_ms(self.publish_timeout + MAX_RECORD_HANDOVER),
        };
        if !has_left_the_queue(request_id, &view) {
            return Ok(false);
        }
        for flushed in [false, true] {
            let evidence = self.journal.journal.absence_evidence(request_id).await;
            let evidence = evidence.map_err(|error| unavailable(request_id, &error))?;
            if evidence.is_proof(request_id, now) {
                return Ok(true);
            }
            // An idle process tells seldom that it holds nothing.
            let own = self.journal.recorder.info().id;
            let own_alone = !flushed && evidence.depends_on(own, request_id, now);
            let flush = self.journal.recorder.flush();
            if !own_alone || tokio::time::timeout(FLUSH_TIMEOUT, flush).await.is_err() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Cancels a callback of the caller.
    pub(crate) async fn cancel(
        &self,
        caller: &Caller,
        request_id: Uuid,
    ) -> Result<CancelReport, Rejection> {
        let mut outcome = self.cancel_known(caller, request_id).await?;
        if outcome == CancelOutcome::Unknown {
            if !self.is_absent(request_id).await? {
                return Err(Rejection::unavailable(request_id));
            }
            // It may have arrived before the proof.
            outcome = self.cancel_known(caller, request_id).await?;
        }
        match outcome {
            CancelOutcome::Requested => Ok(CancelReport::CancelRequested),
            CancelOutcome::Unknown => Err(Answer::NotFound.into()),
            CancelOutcome::Cancelled | CancelOutcome::AlreadyEnded(_) => {
                let ended = self.load_visible(caller, request_id).await?;
                let ended = ended.ok_or_else(|| Rejection::unavailable(request_id))?;
                Ok(CancelReport::Ended(Box::new(ended)))
            }
        }
    }

    /// Cancels a callback that the journal knows.
    async fn cancel_known(
        &self,
        caller: &Caller,
        request_id: Uuid,
    ) -> Result<CancelOutcome, Rejection> {
        let journal = &self.journal.journal;
        let outcome = journal.cancel(request_id, caller.app_id(), now_ms(), CANCEL_MARGIN);
        outcome
            .await
            .map_err(|error| unavailable(request_id, &error))
    }

    /// Waits for a status. `None`: the deadline or the stop of the process came first.
    pub(crate) async fn wait_for(
        &self,
        request_id: Uuid,
        wait_for: WaitFor,
        deadline: Instant,
        stop: &CancellationToken,
    ) -> Option<CallbackStatus> {
        self.poller
            .status(request_id, wait_for, deadline, stop)
            .await
    }
}

fn unavailable(request_id: Uuid, error: &JournalError) -> Rejection {
    if let Some(suppressed) = JOURNAL_FAILED.permit() {
        tracing::warn!(%request_id, %error, suppressed, "failed to query the journal");
    }
    Rejection::unavailable(request_id)
}
