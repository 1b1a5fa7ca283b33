//! Control state: decisions about a callback that its message does not contain, such as a
//! cancellation.

use contract::CallbackStatus;
use uuid::Uuid;

/// The maximum number of cancelled callbacks returned at once: no dispatcher needs more.
pub(crate) const MAX_CANCELLED: u32 = 100_000;

/// The state of a waiting callback that a worker checks before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlState {
    /// The newest generation: a message of an older one is a stale copy.
    pub generation: u32,
    /// How often it was retried now in that generation: a message of an older hold is a stale copy.
    pub hold: u32,
    /// The callback's status.
    pub status: CallbackStatus,
    /// It is cancelled, or its cancellation was requested.
    pub cancelled: bool,
    /// It was discarded: its dead letter need not be kept in the queue.
    pub discarded: bool,
}

/// The result of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was waiting and will not be delivered. Asking again gives the same answer.
    Cancelled,
    /// It may be in flight now; it is cancelled if it has to wait again.
    Requested,
    /// Too late: it has already ended with this status.
    AlreadyEnded(CallbackStatus),
    /// Unknown, or of another app.
    Unknown,
}

/// What one step of cancelling many did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CancelledMany {
    /// They were waiting and will not be delivered.
    pub cancelled: Vec<Uuid>,
    /// They may be in flight now; they are cancelled if they have to wait again.
    pub requested: Vec<Uuid>,
}

impl CancelledMany {
    /// How many callbacks the step found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cancelled.len() + self.requested.len()
    }

    /// Whether it found none: no other step is needed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a callback that was decided so.
    pub(crate) fn add(&mut self, request_id: Uuid, outcome: CancelOutcome) {
        match outcome {
            CancelOutcome::Cancelled => self.cancelled.push(request_id),
            CancelOutcome::Requested => self.requested.push(request_id),
            CancelOutcome::AlreadyEnded(_) | CancelOutcome::Unknown => {}
        }
    }
}

impl CancelOutcome {
    /// Decides for a stored callback. An attempt may already be under way up to `in_flight_until`
    /// (Unix ms).
    pub(crate) fn of(
        status: CallbackStatus,
        next_attempt_at: Option<i64>,
        in_flight_until: i64,
    ) -> Self {
        match status {
            CallbackStatus::Cancelled => Self::Cancelled,
            ended
            @ (CallbackStatus::Delivered | CallbackStatus::Dead | CallbackStatus::Expired) => {
                Self::AlreadyEnded(ended)
            }
            // No message of it was found: none can be in flight.
            CallbackStatus::Unaccounted => Self::Cancelled,
            CallbackStatus::Queued | CallbackStatus::Retrying | CallbackStatus::Delivering => {
                match next_attempt_at {
                    Some(next) if next > in_flight_until => Self::Cancelled,
                    Some(_) | None => Self::Requested,
                }
            }
        }
    }
}
