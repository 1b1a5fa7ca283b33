//! A callback that a dispatcher holds in memory.

use serde::{Deserialize, Serialize};

/// A callback that a process has taken from the broker and not settled yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldCallback {
    /// Since when, Unix ms.
    pub since: u64,
    /// The queue that it came from.
    pub queue: String,
    /// The number of the attempt.
    pub attempt: u32,
    /// Whether its call is being made. If not, it waits for a permit, or its record is being written.
    pub in_flight: bool,
}
