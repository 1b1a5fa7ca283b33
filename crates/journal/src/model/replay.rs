//! Replays: dead letters that are queued again, each exactly once per request.

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

/// The result of asking for one replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayOutcome {
    /// Publish it now.
    Replay(Replay),
    /// It is not, or no longer, a dead letter, or its body is past its retention.
    NotDead,
    /// The id is unknown.
    Unknown,
}
