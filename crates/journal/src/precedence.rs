//! Which of two records about one callback is the truth?
//!
//! Records have one order, whatever order they arrive in: a later generation beats an earlier one;
//! within a generation `Delivered` beats all, then `Cancelled`, then the later step of the later
//! attempt; then the later moment. An adapter keeps the four numbers of the [`Rank`] as the columns
//! `generation`, `weight`, `at` and `tie`, and stores a [`Standing`] over another only where
//! `(new four) > (old four)`. So the row is always the greatest record seen, in any order and after
//! any number of repetitions. Of the origin, what is missing is filled, winner or not.

use std::collections::BTreeMap;
use std::hash::Hasher;

use bytes::Bytes;
use uuid::Uuid;

use crate::callback::Status;
use crate::record::{Origin, Record, State};

/// The weight of what a caller has withdrawn: only a delivery weighs more.
pub(crate) const CANCELLED: i64 = i64::MAX - 1;
const DELIVERED: i64 = i64::MAX;

/// A record's place in the order of all records about its callback. Columns, compared from left to
/// right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    /// Replays before it.
    pub(crate) generation: i64,
    /// How far its generation has come.
    pub(crate) weight: i64,
    /// When it was recorded, Unix ms: the callback's `updated_at`.
    pub(crate) at: i64,
    /// A digest of the rest, so that two different records never rank alike.
    pub(crate) tie: i64,
}

/// Where a record leaves its callback: the columns that are replaced together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) rank: Rank,
    /// Never `Delivering`.
    pub(crate) status: Status,
    /// With `Dead`.
    pub(crate) reason: Option<String>,
    /// Where it was parked.
    pub(crate) waiting_for: Option<String>,
    /// Unix ms.
    pub(crate) next_attempt_at: Option<i64>,
    /// With `Dead` and `Expired`.
    pub(crate) dead_letter: Option<Bytes>,
}

/// What one or more records say of a callback, attempts aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) origin: Origin,
    pub(crate) standing: Standing,
}

/// One row for each callback in the batch, sorted by id: whoever locks rows in this order meets
/// no deadlock.
pub(crate) fn rows(records: &[Record]) -> BTreeMap<Uuid, Row> {
    let mut rows: BTreeMap<Uuid, Row> = BTreeMap::new();
    for record in records {
        let row = Row::of(record);
        match rows.get_mut(&record.origin.request_id) {
            Some(known) => known.absorb(row),
            None => {
                rows.insert(record.origin.request_id, row);
            }
        }
    }
    rows
}

/// The columns of a callback that a replay has just taken into `generation`, at `now` (Unix ms): it
/// waits for its first attempt again.
pub(crate) fn replayed(generation: u32, now: u64) -> Rank {
    Rank {
        generation: i64::from(generation),
        weight: weight(1, Phase::Queued),
        at: number(now),
        tie: 0,
    }
}

/// A number for a column: no moment that is worth keeping lies beyond.
pub(crate) fn number(from: u64) -> i64 {
    i64::try_from(from).unwrap_or(i64::MAX)
}

impl Row {
    fn of(record: &Record) -> Self {
        Self {
            origin: record.origin.clone(),
            standing: Standing::of(record),
        }
    }

    /// Adds what another batch says. Commutative, associative, and idempotent.
    fn absorb(&mut self, other: Self) {
        let (origin, more) = (&mut self.origin, other.origin);
        // An origin never changes, but a part may be unknown to whoever records.
        fill(&mut origin.caller_no, more.caller_no);
        fill(&mut origin.callee_no, more.callee_no);
        fill(&mut origin.callback_url, more.callback_url);
        if origin.target.is_empty() {
            origin.target = more.target;
        }
        if other.standing.rank > self.standing.rank {
            self.standing = other.standing;
        }
    }
}

fn fill(known: &mut Option<String>, more: Option<String>) {
    if known.is_none() {
        *known = more;
    }
}

impl Standing {
    pub(crate) fn of(record: &Record) -> Self {
        let kept = matches!(record.state, State::Dead { .. } | State::Expired);
        let dead_letter = record.dead_letter.clone().filter(|_| kept);
        let waits = if record.attempt <= 1 {
            Status::Queued
        } else {
            Status::Retrying
        };
        let (status, phase) = match record.state {
            State::Queued { .. } => (Status::Queued, Phase::Queued),
            State::Parked { .. } => (waits, Phase::Parked),
            State::Retrying { .. } => (Status::Retrying, Phase::Retrying),
            State::Delivered => (Status::Delivered, Phase::Delivered),
            // With its body it can be replayed: that record is the better one.
            State::Dead { .. } => (Status::Dead, Phase::ended(dead_letter.is_some())),
            State::Expired => (Status::Expired, Phase::ended(dead_letter.is_some())),
            State::Cancelled => (Status::Cancelled, Phase::Cancelled),
        };
        let (next_attempt_at, waiting_for, reason) = match &record.state {
            State::Queued { not_before } => (*not_before, None, None),
            State::Parked {
                next_attempt_at,
                why,
            } => (Some(*next_attempt_at), Some(why.clone()), None),
            State::Retrying { next_attempt_at } => (Some(*next_attempt_at), None, None),
            State::Dead { reason } => (None, None, Some(reason.clone())),
            State::Delivered | State::Expired | State::Cancelled => (None, None, None),
        };
        let mut standing = Self {
            rank: Rank {
                generation: i64::from(record.generation),
                weight: weight(record.attempt, phase),
                at: number(record.at),
                tie: 0,
            },
            status,
            reason,
            waiting_for,
            next_attempt_at: next_attempt_at.map(number),
            dead_letter,
        };
        standing.rank.tie = standing.digest();
        standing
    }

    /// Differs where anything beside the rank differs; never negative, never 0, and the same in
    /// every process of every version.
    fn digest(&self) -> i64 {
        let mut digest = Fnv(0xcbf2_9ce4_8422_2325);
        for part in [
            Some(self.status.as_str().as_bytes()),
            self.reason.as_deref().map(str::as_bytes),
            self.waiting_for.as_deref().map(str::as_bytes),
            self.next_attempt_at
                .map(i64::to_be_bytes)
                .as_ref()
                .map(|it| &it[..]),
            self.dead_letter.as_deref(),
        ] {
            digest.write(part.unwrap_or_default());
            // No text holds these bytes: parts cannot run into each other.
            digest.write(if part.is_some() {
                &[0xff, 1]
            } else {
                &[0xff, 0]
            });
        }
        i64::try_from(digest.finish() >> 1)
            .unwrap_or(i64::MAX)
            .max(1)
    }
}

/// FNV-1a: small and fixed for ever, which the standard library's hasher is not.
struct Fnv(u64);

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The steps within one attempt, in their order.
#[derive(Clone, Copy)]
enum Phase {
    Queued = 0,
    Parked = 1,
    Retrying = 2,
    EndedWithoutBody = 3,
    Ended = 4,
    Cancelled,
    Delivered,
}

impl Phase {
    fn ended(with_body: bool) -> Self {
        if with_body {
            Self::Ended
        } else {
            Self::EndedWithoutBody
        }
    }
}

fn weight(attempt: u32, phase: Phase) -> i64 {
    match phase {
        Phase::Delivered => DELIVERED,
        Phase::Cancelled => CANCELLED,
        phase => i64::from(attempt) * 8 + phase as i64,
    }
}

#[cfg(test)]
#[path = "precedence/tests.rs"]
mod tests;
