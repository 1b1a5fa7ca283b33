//! How long the rescuer of unrouted messages waits. Pure.
//!
//! A message that comes back after its rescue finds no way to its queue. Without a pause it would
//! circle some hundred times a second. The pause is that of the whole queue: after it, everything is
//! rescued once more at full speed, so that a broken way costs little, and a repaired one is used at
//! once by all.

use std::collections::HashSet;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Doubled each time a message comes back.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The messages that are remembered between two pauses; beyond them there is a pause in any case.
const MAX_REMEMBERED: usize = 10_000;

/// The rescued messages since the last pause.
#[derive(Debug, Default)]
pub(crate) struct RescuePause {
    rescued: HashSet<Uuid>,
    /// The last pause, and its end.
    last: Option<(Duration, Instant)>,
}

impl RescuePause {
    /// How long to wait at `now` before this message is rescued.
    pub(crate) fn before(&mut self, request_id: Uuid, now: Instant) -> Duration {
        let is_new = self.rescued.insert(request_id);
        if is_new && self.rescued.len() <= MAX_REMEMBERED {
            return Duration::ZERO;
        }
        self.rescued.clear();
        self.rescued.insert(request_id);
        let pause = match self.last {
            // Long after the last pause, it is another trouble.
            Some((last, end)) if now < end + 2 * MAX_PAUSE => (2 * last).min(MAX_PAUSE),
            _ => FIRST_PAUSE,
        };
        self.last = Some((pause, now + pause));
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[test]
    fn messages_are_rescued_at_once_and_those_that_come_back_wait_longer_each_time() {
        let (mut pause, mut now) = (RescuePause::default(), Instant::now());
        for number in 0..100 {
            assert_eq!(pause.before(id(number), now), Duration::ZERO);
        }
        let mut seconds = Vec::new();
        for _ in 0..8 {
            // One of them waits for all, and the others follow at once.
            let wait = pause.before(id(0), now);
            seconds.push(wait.as_secs());
            now += wait;
            for number in 1..100 {
                assert_eq!(pause.before(id(number), now), Duration::ZERO);
            }
        }
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_trouble_long_after_the_last_one_begins_with_a_short_pause() {
        let (mut pause, now) = (RescuePause::default(), Instant::now());
        for _ in 0..3 {
            pause.before(id(1), now);
        }
        assert_eq!(pause.before(id(1), now), Duration::from_secs(4));
        let later = now + Duration::from_secs(4) + 2 * MAX_PAUSE;
        assert_eq!(pause.before(id(1), later), FIRST_PAUSE);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut pause, now) = (RescuePause::default(), Instant::now());
        let waits = (0..3 * MAX_REMEMBERED as u128).map(|number| pause.before(id(number), now));
        assert_eq!(waits.filter(|wait| !wait.is_zero()).count(), 2);
        assert!(pause.rescued.len() <= MAX_REMEMBERED);
    }
}
