//! The context and the result of an attempt.

use crate::cancellation::ControlLookup;
use crate::held::HeldCallbacks;
use crate::http::client::HttpSender;
use crate::limits::limiter::TargetLimiter;
use crate::metrics::DispatcherMetrics;
use crate::policy::route::RouteResolver;
use crate::recent_attempts::RecentAttempts;
use broker::{Broker, Settlement};
use contract::ReplyCode;
use journal::{Keep, Record, Recorder};
use runtime::traces::Tracer;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Shared by all attempts. Only the worker and `process_message` see all of it.
pub(crate) struct AttemptContext {
    pub(crate) broker: Broker,
    pub(crate) routes: RouteResolver,
    pub(crate) limiter: Arc<TargetLimiter>,
    pub(crate) sender: HttpSender,
    pub(crate) metrics: Arc<DispatcherMetrics>,
    pub(crate) held: HeldCallbacks,
    pub(crate) recent: RecentAttempts,
    pub(crate) journal: Option<AttemptJournal>,
    /// Exports the spans of attempts.
    pub(crate) tracer: Option<Arc<Tracer>>,
    /// Cancelled when the stop begins.
    pub(crate) stop: CancellationToken,
}

/// The journal, as far as attempts use it.
pub(crate) struct AttemptJournal {
    /// Looks up cancellations and replays.
    pub(crate) control: ControlLookup,
    /// Records attempts.
    pub(crate) recorder: Recorder,
    /// What their records carry.
    pub(crate) keep: Keep,
}

impl AttemptContext {
    pub(crate) fn control(&self) -> Option<&ControlLookup> {
        self.journal.as_ref().map(|journal| &journal.control)
    }

    pub(crate) fn tracer(&self) -> Option<&Tracer> {
        self.tracer.as_deref()
    }

    pub(crate) fn keep(&self) -> Keep {
        self.journal
            .as_ref()
            .map_or(NOTHING, |journal| journal.keep)
    }

    pub(crate) fn recorder(&self) -> Option<&Recorder> {
        self.journal.as_ref().map(|journal| &journal.recorder)
    }
}

/// What records carry where there is no journal.
const NOTHING: Keep = Keep {
    waiting: false,
    delivered: false,
    answers: false,
};

/// What follows from a message.
pub(crate) struct AttemptResult {
    pub(crate) record: Option<Record>,
    pub(crate) settlement: Settlement,
    /// For a caller that waits for the first attempt. `None`: that attempt has not been made yet.
    pub(crate) reply: Option<ReplyCode>,
}
