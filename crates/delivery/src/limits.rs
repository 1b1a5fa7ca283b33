//! May this target be called now, or must the callback wait?
//!
//! Pure state machines: time is a `Duration` since any fixed moment of a monotonic clock, chance is
//! an argument. Start reading at `gates.rs`. `gate.rs` is one target's state, made of `breaker.rs`,
//! `bucket.rs`, `latency.rs` and `pace.rs`; `ended.rs` says what an outcome tells of its target,
//! `park.rs` how long what is parked waits.

mod breaker;
mod bucket;
mod ended;
mod gate;
mod gates;
mod latency;
mod name;
mod pace;
mod park;
mod seen;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::target::Target;

pub use bucket::{Bucket, Rate};
pub use ended::{End, Ended};
pub use gates::{Entry, GateId, Gates, Pass, Place};
pub use park::park_after;
pub use seen::{BreakerState, Busiest, Others, Seen};

/// Under whose limits a call falls. A caller's URL never shares a gate with a callee, not even at
/// one host: failing URLs of a caller would open the operator's breaker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A registered callee, by its number as registered.
    Callee(Arc<str>),
    /// What a caller's URL points at.
    Target(Target),
}

impl fmt::Display for Key {
    /// As people know it: `EO001`, or `https://host:443`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Callee(no) => formatter.write_str(no),
            Self::Target(target) => target.fmt(formatter),
        }
    }
}

/// A work lane: each has its own slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// First attempts.
    First,
    /// Retries, and what was parked.
    Retry,
}

impl Lane {
    fn index(self) -> usize {
        match self {
            Self::First => 0,
            Self::Retry => 1,
        }
    }
}

/// What holds for a key, in each dispatcher.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// How many calls may be in flight, both lanes together. `None`: a tenth of each lane's slots,
    /// at least 1, for each lane apart.
    pub in_flight: Option<u32>,
    /// How many calls a second, if that is limited.
    pub rate: Option<Rate>,
    /// When a failing target is left alone.
    pub breaker: BreakerRules,
    /// The longest wait in memory for a place.
    pub waiting: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: None,
            rate: None,
            breaker: BreakerRules::default(),
            waiting: Duration::from_secs(2),
        }
    }
}

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerRules {
    /// The share of failures, 0 to 1, from which on it opens.
    pub share: f64,
    /// The least number of calls within the window to judge by. 0: the breaker never opens.
    pub calls: u32,
    /// How far back calls count.
    pub window: Duration,
    /// How long it stays open at first; twice as long after each probe that fails.
    pub open: Duration,
    /// The longest that it stays open.
    pub open_most: Duration,
}

impl Default for BreakerRules {
    fn default() -> Self {
        Self {
            share: 0.5,
            calls: 20,
            window: Duration::from_secs(30),
            open: Duration::from_secs(15),
            open_most: Duration::from_secs(60),
        }
    }
}

/// Why a message is set aside before its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parked {
    /// As many calls are in flight as may be, and the waiting room is full.
    InFlight,
    /// The target has had its calls for this moment.
    Rate,
    /// The target fails: it is left alone, but for a probe.
    BreakerOpen,
    /// The target asked to be left alone for a while (`Retry-After`).
    AskedToWait,
    /// An operator paused it.
    Paused,
}

impl Parked {
    /// A name for logs, metrics and records: `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Rate => "rate",
            Self::BreakerOpen => "breaker_open",
            Self::AskedToWait => "asked_to_wait",
            Self::Paused => "paused",
        }
    }
}
