//! The apps that a process sees: what ingress answered them, and what a dispatcher has of them.

use serde::{Deserialize, Serialize};

/// The apps of one process, those with the most requests first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppsSeen {
    /// At most [`MAX_LISTED`](super::MAX_LISTED).
    pub apps: Vec<AppFigures>,
    /// All that are not listed, together. It has no `app_id`.
    pub others: AppFigures,
}

/// One app as one process sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppFigures {
    /// The app.
    pub app_id: String,
    /// Callbacks accepted in the last minute.
    pub accepted: u64,
    /// Requests refused in the last minute, for another reason than a limit.
    pub refused: u64,
    /// Requests over a limit in the last minute (429).
    pub limited: u64,
    /// Calls in flight.
    pub in_flight: u32,
}

impl AppFigures {
    /// Adds the figures of another process.
    pub fn add(&mut self, other: &Self) {
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.refused = self.refused.saturating_add(other.refused);
        self.limited = self.limited.saturating_add(other.limited);
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
    }

    /// Requests of the last minute.
    #[must_use]
    pub const fn requests(&self) -> u64 {
        let refused = self.refused.saturating_add(self.limited);
        self.accepted.saturating_add(refused)
    }
}
