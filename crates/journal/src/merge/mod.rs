//! Which of two records about one callback wins.
//!
//! Records have one total order, whatever order they arrive in: a later generation beats an earlier
//! one; within a generation `Delivered` beats everything, then `Cancelled`, then the newer hold (copies
//! of an older one are stale), then the later step of the later attempt; then the later time. An adapter stores the four numbers of the [`MergeKey`]
//! in the columns `generation`, `progress`, `updated_at` and `tiebreak`, and replaces a
//! [`CallbackState`] only if `(new four) > (old four)`. So a row is always the greatest record
//! seen, in any order and after any number of repetitions. Missing parts of the origin are filled
//! from every record, winner or not.
//!
//! The message is not replaced with the rest: one record of a generation has it, and the others leave
//! it out. A row keeps it while it waits or is dead, whichever record brought it, and loses it when
//! the callback is delivered or cancelled; a delivered one may bring its own.

use std::collections::BTreeMap;
use std::hash::Hasher;

use bytes::Bytes;
use contract::CallbackStatus;
use uuid::Uuid;

use crate::column::bigint;
use crate::model::{Origin, Record, RecordedState};

/// The progress of a cancelled callback: outranked only by a delivery.
pub(crate) const CANCELLED: i64 = i64::MAX - 1;
const DELIVERED: i64 = i64::MAX;

/// Where the hold begins in `progress`: above every attempt, of 32 bits, and its step, of 3.
const HOLD_SHIFT: u32 = 36;
/// The greatest hold that makes a difference. A callback is not retried now more often.
pub(crate) const MAX_HOLD: u32 = (1 << 26) - 1;

/// A record's place in the order of all records about its callback: columns, compared from left to
/// right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MergeKey {
    /// The replay generation.
    pub(crate) generation: i64,
    /// How far the generation has come.
    pub(crate) progress: i64,
    /// When it was recorded, Unix ms.
    pub(crate) updated_at: i64,
    /// A digest of the rest, so that two different records never have equal keys.
    pub(crate) tiebreak: i64,
}

/// The state of a callback after a record: the columns that are replaced together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallbackState {
    pub(crate) key: MergeKey,
    /// Never `Delivering`.
    pub(crate) status: CallbackStatus,
    /// With `Dead`.
    pub(crate) reason: Option<String>,
    /// Why it was deferred, if it was.
    pub(crate) deferred_reason: Option<String>,
    /// Unix ms.
    pub(crate) next_attempt_at: Option<i64>,
    /// How often it was retried now.
    pub(crate) hold: u32,
}

/// Whether a row of this status keeps the message that other records of its generation brought.
pub(crate) const fn keeps_message(status: CallbackStatus) -> bool {
    match status {
        CallbackStatus::Delivered | CallbackStatus::Cancelled => false,
        CallbackStatus::Queued
        | CallbackStatus::Retrying
        | CallbackStatus::Delivering
        | CallbackStatus::Dead
        | CallbackStatus::Expired
        | CallbackStatus::Unaccounted => true,
    }
}

/// What one or more records say about a callback, without its attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CallbackRow {
    pub(crate) origin: Origin,
    pub(crate) state: CallbackState,
    /// The queue message.
    pub(crate) message: Option<Bytes>,
}

/// One row for each callback in the batch, sorted by id: writers that lock rows in this order
/// cannot deadlock.
pub(crate) fn rows(records: &[Record]) -> BTreeMap<Uuid, CallbackRow> {
    let mut rows: BTreeMap<Uuid, CallbackRow> = BTreeMap::new();
    for record in records {
        let row = CallbackRow::of(record);
        match rows.get_mut(&record.origin.request_id) {
            Some(known) => known.absorb(row),
            None => {
                rows.insert(record.origin.request_id, row);
            }
        }
    }
    rows
}

/// The key of a callback that a replay has just moved into `generation`, at `now` (Unix ms): it
/// waits for its first attempt again.
pub(crate) fn replay_key(generation: u32, now: u64) -> MergeKey {
    MergeKey {
        generation: i64::from(generation),
        progress: progress(0, 1, Phase::Queued),
        updated_at: bigint(now),
        tiebreak: 0,
    }
}

/// The key of a callback that was retried now, with this hold, for this attempt, at `now` (Unix ms):
/// it beats every record of an older hold that is neither a delivery nor a cancellation.
pub(crate) fn retry_key(generation: u32, hold: u32, attempt: u32, now: u64) -> MergeKey {
    MergeKey {
        generation: i64::from(generation),
        progress: progress(hold, attempt, Phase::Queued),
        updated_at: bigint(now),
        tiebreak: 0,
    }
}

/// The number of the next attempt of a callback that waits, by its progress.
pub(crate) fn next_attempt(progress: i64) -> u32 {
    let step = progress & ((1 << HOLD_SHIFT) - 1);
    let attempt = u32::try_from(step / 8).unwrap_or(u32::MAX);
    if step % 8 == Phase::Retrying as i64 {
        attempt.saturating_add(1)
    } else {
        attempt
    }
}

impl CallbackRow {
    fn of(record: &Record) -> Self {
        Self {
            origin: record.origin.clone(),
            state: CallbackState::of(record),
            message: match record.state {
                RecordedState::Cancelled => None,
                _ => record.message.clone(),
            },
        }
    }

    /// When the message became that of a callback that has ended, if it has.
    pub(crate) fn kept_since(&self) -> Option<i64> {
        let has_ended = matches!(
            self.state.status,
            CallbackStatus::Dead | CallbackStatus::Expired | CallbackStatus::Delivered
        );
        let kept = has_ended && self.message.is_some();
        kept.then_some(self.state.key.updated_at)
    }

    /// Merges another row of the same callback. Commutative, associative, and idempotent.
    fn absorb(&mut self, other: Self) {
        let (origin, more) = (&mut self.origin, other.origin);
        // An origin never changes, but a recorder may not know every part of it.
        fill(&mut origin.caller_no, more.caller_no);
        fill(&mut origin.callee_no, more.callee_no);
        fill(&mut origin.callback_url, more.callback_url);
        if origin.target.is_empty() {
            origin.target = more.target;
        }
        let same_generation = other.state.key.generation == self.state.key.generation;
        let (wins, message) = (other.state.key > self.state.key, other.message);
        let (mut winners, mut losers) = (self.message.take(), message);
        if wins {
            self.state = other.state;
            std::mem::swap(&mut winners, &mut losers);
        }
        let fill = same_generation && keeps_message(self.state.status);
        self.message = winners.or(losers.filter(|_| fill));
    }
}

fn fill(known: &mut Option<String>, more: Option<String>) {
    if known.is_none() {
        *known = more;
    }
}

impl CallbackState {
    pub(crate) fn of(record: &Record) -> Self {
        // A message of its own: others of the generation do not make up for it.
        let own = record.message.as_deref();
        let own = own
            .filter(|_| record.state.is_dead_letter() || record.state == RecordedState::Delivered);
        let waiting = if record.attempt <= 1 {
            CallbackStatus::Queued
        } else {
            CallbackStatus::Retrying
        };
        let (status, phase) = match record.state {
            RecordedState::Queued { .. } => (CallbackStatus::Queued, Phase::Queued),
            RecordedState::Deferred { .. } => (waiting, Phase::Deferred),
            RecordedState::Retrying { .. } => (CallbackStatus::Retrying, Phase::Retrying),
            RecordedState::Delivered => (CallbackStatus::Delivered, Phase::Delivered),
            // A record with the body wins: only then can the callback be replayed.
            RecordedState::Dead { .. } => (CallbackStatus::Dead, Phase::ended(own.is_some())),
            RecordedState::Expired => (CallbackStatus::Expired, Phase::ended(own.is_some())),
            RecordedState::Cancelled => (CallbackStatus::Cancelled, Phase::Cancelled),
        };
        let (next_attempt_at, deferred_reason, reason) = match &record.state {
            RecordedState::Queued { not_before } => (*not_before, None, None),
            RecordedState::Deferred {
                next_attempt_at,
                reason,
            } => (Some(*next_attempt_at), Some(reason.clone()), None),
            RecordedState::Retrying { next_attempt_at } => (Some(*next_attempt_at), None, None),
            RecordedState::Dead { reason } => (None, None, Some(reason.clone())),
            RecordedState::Delivered | RecordedState::Expired | RecordedState::Cancelled => {
                (None, None, None)
            }
        };
        let mut state = Self {
            key: MergeKey {
                generation: i64::from(record.generation),
                progress: progress(record.hold, record.attempt, phase),
                updated_at: bigint(record.at),
                tiebreak: 0,
            },
            status,
            reason,
            deferred_reason,
            next_attempt_at: next_attempt_at.map(bigint),
            hold: record.hold,
        };
        state.key.tiebreak = state.digest(own);
        state
    }

    /// A digest of everything but the key, and of a message of its own: never negative, never 0, and
    /// the same in every process of every version.
    fn digest(&self, own: Option<&[u8]>) -> i64 {
        let mut digest = Fnv(0xcbf2_9ce4_8422_2325);
        for part in [
            Some(self.status.as_str().as_bytes()),
            self.reason.as_deref().map(str::as_bytes),
            self.deferred_reason.as_deref().map(str::as_bytes),
            self.next_attempt_at
                .map(i64::to_be_bytes)
                .as_ref()
                .map(|bytes| &bytes[..]),
            own,
        ] {
            digest.write(part.unwrap_or_default());
            // 0xff occurs in no UTF-8 text: it separates the parts.
            digest.write(if part.is_some() {
                &[0xff, 1]
            } else {
                &[0xff, 0]
            });
        }
        if self.hold > 0 {
            digest.write(&self.hold.to_be_bytes());
        }
        i64::try_from(digest.finish() >> 1)
            .unwrap_or(i64::MAX)
            .max(1)
    }
}

/// FNV-1a: its values never change, which the standard library's hasher does not guarantee.
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

/// The steps within one attempt, in order.
#[derive(Clone, Copy)]
enum Phase {
    Queued = 0,
    Deferred = 1,
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

fn progress(hold: u32, attempt: u32, phase: Phase) -> i64 {
    match phase {
        Phase::Delivered => DELIVERED,
        Phase::Cancelled => CANCELLED,
        phase => {
            let hold = i64::from(hold.min(MAX_HOLD)) << HOLD_SHIFT;
            hold + i64::from(attempt) * 8 + phase as i64
        }
    }
}

#[cfg(test)]
mod tests;
