//! What do people see of the gates?

use std::time::Duration;

use super::Key;

/// What a breaker is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls go.
    Closed,
    /// A probe goes, or may go.
    HalfOpen,
    /// Nothing goes.
    Open,
}

impl BreakerState {
    /// A name for tables and answers: `snake_case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// One key as it is now in this process.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Which.
    pub key: Key,
    /// Calls in flight, both lanes.
    pub in_flight: u32,
    /// Messages in the waiting room.
    pub waiting: u32,
    /// Messages parked since it is known.
    pub parked: u64,
    /// What its breaker is in.
    pub breaker: BreakerState,
    /// How long an open breaker stays so.
    pub probe_in: Option<Duration>,
    /// How long it asked to be left alone.
    pub held_for: Option<Duration>,
    /// Calls that ended since it is known: signs of life, failures, neither.
    pub attempts: [u64; 3],
    /// Calls within the breaker's window, and how many of them failed.
    pub window: (u32, u32),
    /// The time within which half of the calls of the last minutes ended.
    pub p50: Option<Duration>,
    /// The same for 99 of 100.
    pub p99: Option<Duration>,
}

impl Seen {
    /// The share of calls within the window that did not fail; `None` without calls.
    #[must_use]
    pub fn success_share(&self) -> Option<f64> {
        let (calls, failures) = self.window;
        (calls > 0).then(|| 1.0 - f64::from(failures) / f64::from(calls))
    }

    pub(super) fn traffic(&self) -> u64 {
        self.attempts
            .iter()
            .sum::<u64>()
            .saturating_add(self.parked)
    }
}

/// Everybody who is not shown one by one, those forgotten since the start among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// How many keys, without the forgotten.
    pub keys: usize,
    /// Calls in flight.
    pub in_flight: u32,
    /// Messages parked.
    pub parked: u64,
    /// Calls that ended: signs of life, failures, neither.
    pub attempts: [u64; 3],
}

/// The keys with the most traffic, most first, and the rest folded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Busiest {
    /// One by one.
    pub keys: Vec<Seen>,
    /// In one.
    pub others: Others,
}
