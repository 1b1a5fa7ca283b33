//! Replays and retries: dead letters, and callbacks that wait, that are queued again, each exactly once
//! per request.

use bytes::Bytes;
use uuid::Uuid;

/// A dead letter taken for publishing. Until the publish is confirmed
/// ([`crate::ReplayStore::confirm_replays`]) it can be taken again after a while, so that a replay
/// whose publisher crashed is not lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The callback's id, unchanged.
    pub request_id: Uuid,
    /// Its new generation.
    pub generation: u32,
    /// The queue message as it was dead-lettered.
    pub dead_letter: Bytes,
}

/// A callback that waits, taken for publishing at once. Until the publish is confirmed
/// ([`crate::RetryStore::confirm_retries`]) it can be taken again after a while.
///
/// Publish `message` with this generation, hold, attempt and due time, and without deferrals. The message may be that of an earlier attempt, so its own
/// numbers say nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingMessage {
    /// The callback's id, unchanged.
    pub request_id: Uuid,
    /// Its generation, unchanged.
    pub generation: u32,
    /// How often it was retried now, this time included: copies of an older hold are stale.
    pub hold: u32,
    /// The number of the next attempt, unchanged.
    pub attempt: u32,
    /// When that attempt is due, Unix ms: a retry is due when it is taken, a recovery may be later.
    pub due_at: u64,
    /// The queue message as it waited at first in this generation.
    pub message: Bytes,
}

/// The result of asking for one retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryOutcome {
    /// Publish it now.
    Retry(WaitingMessage),
    /// It does not wait: it has ended, is cancelled, or its next attempt is due.
    NotWaiting,
    /// It waits, but its message is not in the journal.
    NotKept,
    /// The id is unknown.
    Unknown,
}

/// Which callbacks a replay by id may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayable {
    /// Dead letters alone.
    DeadLetters,
    /// Delivered ones, too, while their message is kept.
    Ended,
}

/// The result of asking for one replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayOutcome {
    /// Publish it now.
    Replay(Replay),
    /// It has not ended, or no dead letter was found where one was asked for, or its body is past its
    /// retention.
    NotDead,
    /// It was delivered, and its message is not kept, or no longer (`journal.keep_delivered`).
    NotKept,
    /// The id is unknown.
    Unknown,
}
