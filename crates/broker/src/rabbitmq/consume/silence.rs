//! Whether a consumer receives nothing though messages are ready for it. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// RabbitMQ deals out what is ready among all consumers with free places, so each of them gets some
/// within this time.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// Connecting anew repeats attempts in flight: when it does not help, it is done more seldom.
const MAX_SILENT_AFTER: Duration = Duration::from_secs(300);
/// Longer between two looks, and what was seen before does not count.
const MAX_GAP: Duration = Duration::from_secs(3);

/// Watches one consumer, across its subscriptions.
#[derive(Debug)]
pub(super) struct Silence {
    /// Since when each look has found messages ready and a place free: the first look, the last.
    since: Option<(Instant, Instant)>,
    limit: Duration,
}

impl Default for Silence {
    fn default() -> Self {
        Self {
            since: None,
            limit: SILENT_AFTER,
        }
    }
}

impl Silence {
    /// A message has arrived.
    pub(super) const fn received(&mut self) {
        self.since = None;
        self.limit = SILENT_AFTER;
    }

    /// A look while the consumer waits for a message. `ready`: the messages that are ready, if that
    /// has just been read. Whether the consumer must count as silent.
    pub(super) fn look(&mut self, now: Instant, ready: Option<u32>, has_room: bool) -> bool {
        if !has_room || ready.is_none_or(|ready| ready == 0) {
            self.since = None;
            return false;
        }
        let first = match self.since {
            Some((first, last)) if now.duration_since(last) <= MAX_GAP => first,
            _ => now,
        };
        self.since = Some((first, now));
        let silent = now.duration_since(first) >= self.limit;
        if silent {
            self.since = None;
            self.limit = (2 * self.limit).min(MAX_SILENT_AFTER);
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The seconds in which a consumer counts as silent, when each look sees this.
    fn silent_in(look: impl Fn(u64) -> (Option<u32>, bool), seconds: u64) -> Vec<u64> {
        let (mut silence, began) = (Silence::default(), Instant::now());
        let is_silent = |second: &u64| {
            let (ready, has_room) = look(*second);
            let now = began + Duration::from_secs(*second);
            silence.look(now, ready, has_room)
        };
        (0..seconds).filter(is_silent).collect()
    }

    #[test]
    fn ready_messages_and_a_free_place_without_a_delivery_are_silence() {
        assert_eq!(silent_in(|_| (Some(1), true), 12), [10]);
    }

    #[test]
    fn what_does_not_help_is_done_more_seldom() {
        let when = silent_in(|_| (Some(1), true), 1_500);
        assert_eq!(when, [10, 31, 72, 153, 314, 615, 916, 1_217]);
    }

    #[test]
    fn no_ready_message_no_reading_or_no_free_place_is_no_silence() {
        let never = [0; 0];
        assert_eq!(silent_in(|_| (Some(0), true), 60), never);
        assert_eq!(silent_in(|_| (None, true), 60), never);
        assert_eq!(silent_in(|_| (Some(1), false), 60), never);
        // Others take what is ready now and then: the queue is served.
        let served = |second| (Some(u32::from(second % 9 > 0)), true);
        assert_eq!(silent_in(served, 60), never);
    }

    #[test]
    fn a_delivery_and_a_long_pause_begin_anew() {
        let (mut silence, now) = (Silence::default(), Instant::now());
        for second in 0..10 {
            assert!(!silence.look(now + second * SECOND, Some(5), true));
        }
        silence.received();
        assert!(!silence.look(now + 10 * SECOND, Some(5), true));
        // The consumer was not waiting for messages meanwhile.
        assert!(!silence.look(now + 30 * SECOND, Some(5), true));
    }
}
