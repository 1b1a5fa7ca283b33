//! To which node the next connection goes, and the wait before it.
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

/// Puts the addresses of a round into the order in which they are tried: by chance, so that the
/// processes spread over the nodes, and the one that has just failed at the end. `chance(n)` is a
/// number below `n`.
pub(super) fn shuffle<T: PartialEq>(
    addresses: &mut [T],
    failed: Option<&T>,
    mut chance: impl FnMut(usize) -> usize,
) {
    for position in (1..addresses.len()).rev() {
        addresses.swap(position, chance(position + 1) % (position + 1));
    }
    if let Some(failed) = failed {
        // Stable: the order of the others stays.
        addresses.sort_by_key(|address| address == failed);
    }
}

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

    /// Notes that the connection failed at `now`. Whether it had been stable: then all addresses are
    /// worth a try again.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let connected = self.connected_since.take();
        let stable = connected.is_some_and(|since| now.duration_since(since) >= STABLE_AFTER);
        if stable {
            self.backoff.reset();
        }
        stable
    }

    /// The wait after every address has failed.
    pub(super) fn next_wait(&mut self) -> Duration {
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
        let mut reconnect = Reconnect::new();
        let waits: Vec<Duration> = (0..10_000).map(|_| reconnect.next_wait()).collect();
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
            reconnect.next_wait();
        }
        assert!(!reconnect.failed(now));
        reconnect.connected(now);
        assert!(!reconnect.failed(now + Duration::from_secs(1)));
        assert!(reconnect.next_wait() > Duration::from_secs(3));
        reconnect.connected(now);
        assert!(reconnect.failed(now + STABLE_AFTER));
        assert!(reconnect.next_wait() < Duration::from_millis(200));
    }

    #[test]
    fn every_node_may_come_first_and_the_failed_one_comes_last() {
        let mut firsts = std::collections::BTreeSet::new();
        for seed in 0..50_usize {
            let mut nodes = ['a', 'b', 'c'];
            let mut drawn = seed;
            shuffle(&mut nodes, Some(&'b'), |below| {
                drawn = drawn.wrapping_mul(31).wrapping_add(7);
                drawn / 3 % below
            });
            assert_eq!(nodes[2], 'b');
            firsts.insert(nodes[0]);
        }
        assert_eq!(firsts.len(), 2);
        let mut one = ['a'];
        shuffle(&mut one, Some(&'a'), |_| 0);
        assert_eq!(one, ['a']);
    }
}
