//! What is unfinished for one callee or target.

/// Whose callbacks are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WaitingDestination {
    /// A registered callee, by its number.
    Callee(String),
    /// Callbacks without a callee, by their target: `https://host:443`.
    Target(String),
}

/// The unfinished callbacks of one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many there are, at most the limit that was given: then there may be more.
    pub count: u64,
    /// When the oldest of them was accepted, Unix ms.
    pub oldest_accepted_at: Option<u64>,
    /// The first recorded time of a next attempt, Unix ms. `None`: none is recorded, or not all were
    /// read.
    pub next_attempt_at: Option<u64>,
}
