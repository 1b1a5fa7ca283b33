//! How does a callback look when it is read back?

use std::fmt;
use std::str::FromStr;

use crate::record::{Attempt, Origin};

/// A callback as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Who asked for what.
    pub origin: Origin,
    /// How often it was replayed.
    pub generation: u32,
    /// Where it stands.
    pub status: Status,
    /// Why it was given up; with `Dead`.
    pub reason: Option<String>,
    /// Why it waits, in a word, where it was parked.
    pub waiting_for: Option<String>,
    /// When the next attempt is due, Unix ms; with a status that is not final.
    pub next_attempt_at: Option<u64>,
    /// A caller asked to withdraw it, and it was not certain then that it would wait.
    pub cancel_requested: bool,
    /// An operator has put it out of sight: it is kept, but will not be replayed.
    pub discarded: bool,
    /// When something was last recorded of it, Unix ms.
    pub updated_at: u64,
    /// All attempts, oldest first: by generation, then number, then start. Empty in lists.
    pub attempts: Vec<Attempt>,
}

/// Where a callback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Waits for its first attempt.
    Queued,
    /// Its time has come: it is being attempted, or is about to be. Never stored; see
    /// [`Callback::status_at`].
    Delivering,
    /// An attempt failed; waits for the next.
    Retrying,
    /// The target has answered 2xx.
    Delivered,
    /// Given up.
    Dead,
    /// Given up for its age.
    Expired,
    /// Withdrawn.
    Cancelled,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Delivering,
        Self::Retrying,
        Self::Delivered,
        Self::Dead,
        Self::Expired,
        Self::Cancelled,
    ];

    /// The word in answers, tables and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivering => "delivering",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen by itself.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Delivered | Self::Dead | Self::Expired | Self::Cancelled
        )
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is no status"))
    }
}

impl Callback {
    /// The status as people see it at `now` (Unix ms): a callback whose next attempt is due is being
    /// delivered.
    pub fn status_at(&self, now: u64) -> Status {
        let due = self.next_attempt_at.is_some_and(|at| at <= now);
        match self.status {
            Status::Queued | Status::Retrying if due => Status::Delivering,
            status => status,
        }
    }
}
