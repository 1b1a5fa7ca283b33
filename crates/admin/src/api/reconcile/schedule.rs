//! When the dead-letter queue is read, and how far. Pure: times are arguments.
//!
//! To remove a copy from the middle of the queue, everything before it must be taken out and put
//! back. So the work of one replay would grow with the number of dead letters. Therefore a large
//! queue is read only when enough copies are stale, or a day has passed, and then in small steps.

use std::time::Duration;

/// A queue with at most this many messages is read as soon as a copy is stale, and in one step.
pub(super) const MAX_STEP: usize = 500;
/// The time between two steps.
pub(super) const STEP_INTERVAL: Duration = Duration::from_secs(30);
/// A larger one is read when at least one in so many copies is stale,
const STALE_SHARE: u64 = 100;
/// or any is, once in this time.
pub(super) const DAILY: Duration = Duration::from_secs(24 * 60 * 60);

/// The progress through the queue. The queue itself keeps the place: what was read is put back at
/// its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PassProgress {
    /// How many messages are left of the pass in progress.
    remaining: usize,
}

/// Whether a pass begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PassNeed {
    None,
    /// Unless one has begun within [`DAILY`] for this reason.
    Daily,
    Now,
}

/// Decides by the messages in the queue, and the copies that became stale since the last pass began
/// (an upper bound).
pub(super) fn pass_need(depth: usize, stale: u64) -> PassNeed {
    let messages = u64::try_from(depth).unwrap_or(u64::MAX);
    match (depth, stale) {
        (0, _) | (_, 0) => PassNeed::None,
        (..=MAX_STEP, _) => PassNeed::Now,
        _ if stale.saturating_mul(STALE_SHARE) >= messages => PassNeed::Now,
        _ => PassNeed::Daily,
    }
}

impl PassProgress {
    /// Begins a pass through a queue of this depth.
    pub(super) fn begin(&mut self, depth: usize) {
        self.remaining = depth;
    }

    pub(super) fn in_progress(self) -> bool {
        self.remaining > 0
    }

    /// How many messages the next step reads.
    pub(super) fn step(self) -> usize {
        self.remaining.min(MAX_STEP)
    }

    /// A step has read so many messages; `ended`: it found no more.
    pub(super) fn advance(&mut self, read: usize, ended: bool) {
        self.remaining = match ended {
            true => 0,
            false => self.remaining.saturating_sub(read),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_queue_is_read_at_once_and_a_large_one_when_it_is_worth_it() {
        for (depth, stale, need) in [
            (0, 9, PassNeed::None),
            (1, 0, PassNeed::None),
            (1, 1, PassNeed::Now),
            (MAX_STEP, 1, PassNeed::Now),
            (MAX_STEP + 1, 1, PassNeed::Daily),
            (MAX_STEP + 1, 6, PassNeed::Now),
            (1_000_000, 0, PassNeed::None),
            (1_000_000, 9_999, PassNeed::Daily),
            (1_000_000, 10_000, PassNeed::Now),
        ] {
            assert_eq!(pass_need(depth, stale), need, "{depth} {stale}");
        }
    }

    #[test]
    fn a_pass_ends_after_as_many_messages_as_there_were() {
        let mut progress = PassProgress::default();
        assert!(!progress.in_progress());
        progress.begin(1_200);
        let mut steps = Vec::new();
        while progress.in_progress() {
            steps.push(progress.step());
            progress.advance(progress.step(), false);
        }
        assert_eq!(steps, [500, 500, 200]);
        progress.begin(1_200);
        progress.advance(30, true);
        assert!(!progress.in_progress(), "somebody else emptied the queue");
    }
}
