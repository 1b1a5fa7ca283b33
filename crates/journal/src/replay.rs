//! How is a callback that was given up brought back to life, exactly once per wish?

use bytes::Bytes;
use uuid::Uuid;

/// A callback taken out of the dead letters, to be published again. Until it is published
/// ([`crate::Journal::replayed`]), it is handed out again after a while: a replay that dies half-way
/// loses nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// The callback's identity, unchanged.
    pub request_id: Uuid,
    /// Its new generation.
    pub generation: u32,
    /// The queue message as it was given up.
    pub dead_letter: Bytes,
}

/// Who did what, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Unix ms.
    pub at: u64,
    /// A person's or a system's name.
    pub who: String,
    /// `replay`, `discard`, `cancel` and so on.
    pub action: String,
    /// What it was done to, in words: an id or a filter.
    pub subject: String,
    /// The person's reason.
    pub reason: String,
    /// How many callbacks it touched.
    pub count: u64,
}

/// What came of a wish about one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mended {
    /// It is to be published now.
    Replay(Replay),
    /// It is not dead (any more), or its body is past its retention.
    NotDead,
    /// Not known.
    Unknown,
}
