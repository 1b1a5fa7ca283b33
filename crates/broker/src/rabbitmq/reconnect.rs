//! How long to wait before the next connection to the broker?
//!
//! The only file that uses `backoff`: the crate is unmaintained (RUSTSEC-2025-0012) and pinned, kept
//! because it was asked for. Its traps, all kept out here: a struct literal ignores
//! `initial_interval` (the builder does not), jitter exceeds `max_interval`, and by default it gives
//! up after 15 minutes.

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// A connection that held this long was a good one: the next wait begins small again. One that
/// fails right after it came up must not be retried ten times a second for ever.
const PROVEN: Duration = Duration::from_secs(10);

/// The waits between attempts to connect: growing, jittered, clamped, without an end.
#[derive(Debug)]
pub(super) struct Reconnect {
    backoff: ExponentialBackoff,
    up_since: Option<Instant>,
}

impl Reconnect {
    pub(super) fn new() -> Self {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(FIRST)
            .with_max_interval(LONGEST)
            .with_multiplier(2.0)
            .with_randomization_factor(0.3)
            .with_max_elapsed_time(None)
            .build();
        Self {
            backoff,
            up_since: None,
        }
    }

    /// Notes that the connection came up at `now`.
    pub(super) fn up(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// The wait after a failure at `now`.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        if self
            .up_since
            .take()
            .is_some_and(|since| now.duration_since(since) >= PROVEN)
        {
            self.backoff.reset();
        }
        self.backoff.next_backoff().unwrap_or(LONGEST).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_grow_stay_clamped_and_never_end() {
        let (mut reconnect, now) = (Reconnect::new(), Instant::now());
        let waits: Vec<Duration> = (0..10_000).map(|_| reconnect.wait(now)).collect();
        assert!(waits[0] <= Duration::from_millis(130));
        assert!(
            waits
                .iter()
                .all(|wait| *wait <= LONGEST && *wait > Duration::ZERO)
        );
        assert!(waits[9_999] > Duration::from_secs(3));
    }

    #[test]
    fn only_a_connection_that_held_makes_the_waits_small_again() {
        let (mut reconnect, now) = (Reconnect::new(), Instant::now());
        for _ in 0..20 {
            reconnect.wait(now);
        }
        reconnect.up(now);
        assert!(reconnect.wait(now + Duration::from_secs(1)) > Duration::from_secs(3));
        reconnect.up(now);
        assert!(reconnect.wait(now + PROVEN) < Duration::from_millis(200));
    }
}
