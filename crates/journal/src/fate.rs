//! What must a worker know about a waiting callback before it makes the next attempt?

use crate::callback::Status;

/// What has been decided about a callback elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// The newest generation: a message of an older one is a stale copy.
    pub generation: u32,
    /// Where it stands.
    pub status: Status,
    /// Its caller has withdrawn it, or asked to.
    pub cancelled: bool,
    /// An operator has put it out of sight: its dead letter need not be kept in the queue.
    pub discarded: bool,
}

/// What came of a wish to withdraw a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// It waits, and will not be delivered any more. Asking again gives the same.
    Certainly,
    /// It may be on its way at this moment; if it comes back to wait, it ends there.
    Perhaps,
    /// Too late: it has ended with this status.
    Ended(Status),
    /// Not known (or another app's).
    Unknown,
}
