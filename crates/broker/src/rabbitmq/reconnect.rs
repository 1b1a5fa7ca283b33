//! The wait before the next attempt to connect to the broker.
//!
//! The only file that uses `backoff`: the crate is unmaintained (RUSTSEC-2025-0012), pinned, and
//! kept by the user's choice. Its traps are avoided here: a struct literal ignores
//! `initial_interval` (the builder does not), jitter exceeds `max_interval`, and by default it
//! gives up after 15 minutes.

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use std::time::{Duration, Instant};

const INITIAL_WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(5);

/// A connection that lasted this long resets the waits. One that fails right after it came up must
/// not be retried ten times a second for ever.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// The waits between attempts to connect: exponential, jittered, clamped, without end.
#[derive(Debug)]
pub(super) struct Reconnect {
    backoff: ExponentialBackoff,
    connected_since: Option<Instant>,
}

impl Reconnect {
    pub(super) fn new() -> Self {
        let backoff = ExponentialBackoffBuilder::new()
            .with_initial_interval(INITIAL_WAIT)
            .with_max_interval(MAX_WAIT)
            .with_multiplier(2.0)
            .with_randomization_factor(0.3)
            .with_max_elapsed_time(None)
            .build();
        Self {
            backoff,
            connected_since: None,
        }
    }

    /// Notes that the connection came up at `now`.
    pub(super) fn connected(&mut self, now: Instant) {
        self.connected_since = Some(now);
    }

    /// The wait after a failure at `now`.
    pub(super) fn next_wait(&mut self, now: Instant) -> Duration {
        if self
            .connected_since
            .take()
            .is_some_and(|since| now.duration_since(since) >= STABLE_AFTER)
        {
            self.backoff.reset();
        }
        self.backoff
            .next_backoff()
            .unwrap_or(MAX_WAIT)
            .min(MAX_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_grow_stay_clamped_and_never_end() {
        let (mut reconnect, now) = (Reconnect::new(), Instant::now());
        let waits: Vec<Duration> = (0..10_000).map(|_| reconnect.next_wait(now)).collect();
        assert!(waits[0] <= Duration::from_millis(130));
        assert!(
            waits
                .iter()
                .all(|wait| *wait <= MAX_WAIT && *wait > Duration::ZERO)
        );
        assert!(waits[9_999] > Duration::from_secs(3));
    }

    #[test]
    fn only_a_stable_connection_resets_the_waits() {
        let (mut reconnect, now) = (Reconnect::new(), Instant::now());
        for _ in 0..20 {
            reconnect.next_wait(now);
        }
        reconnect.connected(now);
        assert!(reconnect.next_wait(now + Duration::from_secs(1)) > Duration::from_secs(3));
        reconnect.connected(now);
        assert!(reconnect.next_wait(now + STABLE_AFTER) < Duration::from_millis(200));
    }
}
