//! Looks up and cancels callbacks in the journal, as far as a caller may see them.

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
use crate::watermark::{ConsistencyView, JournalWatermark, is_unknown};

/// A callback that is due within this time may be in an attempt already.
const CANCEL_MARGIN: Duration = Duration::from_secs(2);

/// The longest time between the confirm of a publish and the handover of its record.
const MAX_RECORD_HANDOVER: Duration = Duration::from_secs(2);

static JOURNAL_FAILED: LogLimit = LogLimit::new();

/// The journal, and how complete it is.
pub(crate) struct CallbackLookup {
    journal: JournalHandle,
    poller: StatusPoller,
    watermark: JournalWatermark,
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
            watermark: JournalWatermark::start(journal.journal.clone(), depths),
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
        // Taken before the query: a record that arrives in between must not lead to a 404.
        let view = self.view();
        let found = self.journal.journal.find(request_id).await;
        let found = found.map_err(|error| unavailable(request_id, &error))?;
        // Another app's callback must look like an unknown one.
        let visible = found.filter(|callback| caller.may_see(&callback.origin.app_id));
        match visible {
            None if is_unknown(request_id, &view) => Err(Answer::NotFound.into()),
            visible => Ok(visible),
        }
    }

    /// Cancels a callback of the caller.
    pub(crate) async fn cancel(
        &self,
        caller: &Caller,
        request_id: Uuid,
    ) -> Result<CancelReport, Rejection> {
        // Taken before the query: a record that arrives in between must not lead to a 404.
        let view = self.view();
        let journal = &self.journal.journal;
        let outcome = journal.cancel(request_id, caller.app_id(), view.now, CANCEL_MARGIN);
        match outcome
            .await
            .map_err(|error| unavailable(request_id, &error))?
        {
            CancelOutcome::Requested => Ok(CancelReport::CancelRequested),
            CancelOutcome::Unknown if is_unknown(request_id, &view) => Err(Answer::NotFound.into()),
            CancelOutcome::Unknown => Err(Rejection::unavailable(request_id)),
            CancelOutcome::Cancelled | CancelOutcome::AlreadyEnded(_) => {
                let ended = self.load_visible(caller, request_id).await?;
                let ended = ended.ok_or_else(|| Rejection::unavailable(request_id))?;
                Ok(CancelReport::Ended(Box::new(ended)))
            }
        }
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

    fn view(&self) -> ConsistencyView {
        let now = now_ms();
        let oldest = self.journal.recorder.oldest_buffered();
        ConsistencyView {
            now,
            complete_until: self.watermark.complete_until(),
            buffered_since: oldest.map(|since| now.saturating_sub(duration_ms(since.elapsed()))),
            margin: duration_ms(self.publish_timeout + MAX_RECORD_HANDOVER),
        }
    }
}

fn unavailable(request_id: Uuid, error: &JournalError) -> Rejection {
    if let Some(suppressed) = JOURNAL_FAILED.permit() {
        tracing::warn!(%request_id, %error, suppressed, "failed to query the journal");
    }
    Rejection::unavailable(request_id)
}
