//! The JSON that answers an act on many callbacks, as the server writes and the commands read it.

use journal::Callback;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::estimate::EstimateView;
use super::rfc3339;

/// What a request, or one step of a command, did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct BulkView {
    /// How many it was done to.
    pub(crate) changed: u64,
    /// Taken, and not confirmed by the broker yet; published again within about a minute.
    pub(crate) pending: u64,
    /// May be in an attempt now; cancelled if they have to wait again.
    pub(crate) requested: u64,
    /// Whether more may match.
    pub(crate) more: bool,
    /// Erase: the `after` of the next request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Uuid>,
    /// Expedite: for how many apps a breaker or a `Retry-After` gave way in this process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probed: Option<u64>,
    /// The selected ids that it could not be done to.
    pub(crate) not_changed: Vec<NotChanged>,
}

/// A selected callback that it could not be done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct NotChanged {
    pub(crate) request_id: Uuid,
    /// For programs.
    pub(crate) reason: String,
    /// For people.
    pub(crate) detail: String,
}

/// The answer to a dry run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct BulkCountView {
    /// To how many it could be done now.
    pub(crate) matched: u64,
    /// The time of counting. As `updated_before` it excludes what changes later.
    #[serde(with = "rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub(crate) now: u64,
    /// Others that match the filter, and why they would not be touched.
    #[serde(default)]
    pub(crate) untouched: Vec<Untouched>,
    /// The selected ids that it could not be done to.
    #[serde(default)]
    pub(crate) not_changed: Vec<NotChanged>,
    /// Retry now and expedite: when all have been attempted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) estimate: Option<EstimateView>,
    /// Recover: how many messages the queues hold, dead letters apart; null: unknown.
    #[serde(default)]
    pub(crate) queued: Option<u64>,
    /// Recover: when the interrupted recovery with this reason began, if there is one.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "rfc3339::option"
    )]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) continues: Option<u64>,
}

/// Callbacks that match and would not be touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Untouched {
    pub(crate) count: u64,
    /// For programs.
    pub(crate) reason: String,
    /// For people.
    pub(crate) detail: String,
}

/// Why it cannot be done to a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// The journal does not know the id.
    Unknown,
    /// It does not wait for a time to come.
    NotWaiting,
    /// It waits, and its message is not in the journal.
    NoMessage,
    /// It has ended.
    Ended(contract::CallbackStatus),
    /// It was delivered, and its message is not kept.
    NotKept,
    /// It has not ended in a way that can be replayed, or its message is past its retention.
    NotReplayable,
    /// It has not ended.
    Waits,
    /// Its cancellation was requested.
    CancelRequested,
}

impl Hindrance {
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotWaiting => "not_waiting",
            Self::NoMessage => "no_message",
            Self::Ended(_) => "ended",
            Self::NotKept => "not_kept",
            Self::NotReplayable => "not_replayable",
            Self::Waits => "waits",
            Self::CancelRequested => "cancel_requested",
        }
    }

    fn detail(self) -> String {
        let sentence = match self {
            Self::Unknown => "the journal does not know it",
            Self::NotWaiting => {
                "it does not wait: it has ended, is about to be cancelled, or is due and next in line"
            }
            Self::NoMessage => {
                "the journal does not have its message: it has not failed yet and is next in line, \
                 or journal.keep_waiting is off"
            }
            Self::Ended(status) => return format!("it has ended: it is {status}"),
            Self::NotKept => {
                "it was delivered, and its message is not kept, or no longer (journal.keep_delivered), or erased"
            }
            Self::NotReplayable => {
                "it is neither delivered nor a dead letter, or it was discarded or erased, or its message is past \
                 its retention"
            }
            Self::Waits => "it has not ended: cancel it first",
            Self::CancelRequested => {
                "an attempt may be in progress: it is cancelled if that fails; ask again then"
            }
        };
        sentence.to_owned()
    }

    pub(crate) fn of(self, request_id: Uuid) -> NotChanged {
        NotChanged {
            request_id,
            reason: self.reason().to_owned(),
            detail: self.detail(),
        }
    }
}

impl BulkCountView {
    /// So many, and nothing else to say.
    pub(super) const fn of(matched: u64, now: u64) -> Self {
        Self {
            matched,
            now,
            untouched: Vec::new(),
            not_changed: Vec::new(),
            estimate: None,
            queued: None,
            continues: None,
        }
    }
}

impl Untouched {
    /// Leaves out what is none.
    pub(super) fn some(count: u64, reason: &str, detail: &str) -> Option<Self> {
        (count > 0).then(|| Self {
            count,
            reason: reason.to_owned(),
            detail: detail.to_owned(),
        })
    }
}

/// Why this callback cannot be retried at `now`, if it cannot.
pub(super) fn not_retryable(callback: &Callback, now: u64) -> Option<Hindrance> {
    let waits = callback.status.is_unfinished()
        && callback.next_attempt_at.is_some_and(|at| at > now)
        && !callback.cancel_requested;
    match (waits, callback.has_message) {
        (false, _) => Some(Hindrance::NotWaiting),
        (true, false) => Some(Hindrance::NoMessage),
        (true, true) => None,
    }
}
