//! What acts on many callbacks: counts of what can be done, and erasure.

use uuid::Uuid;

/// What matches a filter, counted by what can be done to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BulkCounts {
    /// All that match.
    pub matched: u64,
    /// Those whose message the journal has, and that no replay has taken.
    pub with_message: u64,
    /// Those that have not ended.
    pub unfinished: u64,
    /// Those that [`crate::RetryStore::take_retries`] would take.
    pub retryable: u64,
    /// Those of them that wait for the time that their callers asked for.
    pub delayed: u64,
    /// Those that [`crate::ControlStore::cancel_matching`] would find.
    pub cancellable: u64,
    /// Those that [`crate::RecoveryStore::take_recoveries`] would take.
    pub recoverable: u64,
}

/// The result of erasing one callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EraseOutcome {
    /// Its row with times and status is left. Asking again gives the same answer.
    Erased,
    /// It has not ended: cancel it first.
    Waits,
    /// The id is unknown.
    Unknown,
}

/// What one step of erasing many did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErasedMany {
    /// How many had something to erase.
    pub erased: u64,
    /// The last of them: the next step begins after it.
    pub last: Option<Uuid>,
}
