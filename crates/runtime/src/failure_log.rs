//! Failures that strangers cause, such as wrong credentials: counted by peer, and logged at a bounded
//! rate.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::log_limit::Window;

/// How many peers are counted apart. All others are counted together.
const MAX_PEERS: usize = 1_024;

/// After so long without a failure a peer's count begins anew.
const FORGIVEN_AFTER: Duration = Duration::from_secs(5 * 60);

/// The failures of one kind of request, such as those of operators.
#[derive(Debug, Default)]
pub struct FailureLog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Kinds are written in the program, so they are few.
    kinds: HashMap<&'static str, Window>,
    peers: HashMap<IpAddr, PeerFailures>,
    others: PeerFailures,
}

#[derive(Clone, Copy, Debug, Default)]
struct PeerFailures {
    count: u64,
    last: Option<Instant>,
}

/// A failure that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedFailure {
    /// How many failures the peer has had, with this one.
    pub peer_failures: u64,
    /// If it may be logged: how many of its kind were suppressed before it.
    pub log: Option<u64>,
}

impl FailureLog {
    /// No failures yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a failure.
    pub fn count(&self, kind: &'static str, peer: Option<IpAddr>) -> CountedFailure {
        self.count_at(kind, peer, Instant::now())
    }

    fn count_at(&self, kind: &'static str, peer: Option<IpAddr>, now: Instant) -> CountedFailure {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let peer_failures = state.peer(peer, now).count(now);
        let log = state.kinds.entry(kind).or_default().permit(now);
        CountedFailure { peer_failures, log }
    }
}

impl State {
    fn peer(&mut self, peer: Option<IpAddr>, now: Instant) -> &mut PeerFailures {
        let Some(peer) = peer.map(peer_network) else {
            return &mut self.others;
        };
        if self.peers.len() >= MAX_PEERS && !self.peers.contains_key(&peer) {
            // A search for each failure of others is bounded by the size of the map.
            self.peers.retain(|_, failures| failures.at(now) > 0);
            if self.peers.len() >= MAX_PEERS {
                return &mut self.others;
            }
        }
        self.peers.entry(peer).or_default()
    }
}

impl PeerFailures {
    fn at(&self, now: Instant) -> u64 {
        let since = self.last.map(|last| now.saturating_duration_since(last));
        match since {
            Some(since) if since < FORGIVEN_AFTER => self.count,
            Some(_) | None => 0,
        }
    }

    fn count(&mut self, now: Instant) -> u64 {
        self.count = self.at(now) + 1;
        self.last = Some(now);
        self.count
    }
}

/// The network by which a peer is counted: a host usually has a whole IPv6 network of 64 bits.
#[must_use]
pub fn peer_network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> Option<IpAddr> {
        Some(IpAddr::from(number.to_be_bytes()))
    }

    #[test]
    fn each_peer_is_counted_and_each_kind_is_logged_once_a_second() {
        let (log, now) = (FailureLog::new(), Instant::now());
        let count = |kind, number, millis| {
            let counted = log.count_at(kind, peer(number), now + Duration::from_millis(millis));
            (counted.peer_failures, counted.log)
        };
        assert_eq!(count("wrong", 1, 0), (1, Some(0)));
        assert_eq!(count("wrong", 2, 1), (1, None));
        assert_eq!(count("missing", 1, 2), (2, Some(0)));
        assert_eq!(count("wrong", 1, 999), (3, None));
        assert_eq!(count("wrong", 1, 1_000), (4, Some(2)));
        // Forgiven.
        assert_eq!(count("wrong", 2, 400_000), (1, Some(0)));
    }

    #[test]
    fn a_million_peers_take_the_place_of_a_thousand() {
        let (log, now) = (FailureLog::new(), Instant::now());
        for number in 0..1_000_000 / 100 {
            log.count_at("wrong", peer(number), now);
        }
        let state = log.0.lock().unwrap();
        assert_eq!(state.peers.len(), MAX_PEERS);
        assert_eq!(state.others.count, 10_000 - MAX_PEERS as u64);
        drop(state);
        // Room is made when peers are forgiven.
        let later = now + FORGIVEN_AFTER;
        assert_eq!(log.count_at("wrong", peer(9_999), later).peer_failures, 1);
        assert_eq!(log.0.lock().unwrap().peers.len(), 1);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_peer() {
        let log = FailureLog::new();
        let now = Instant::now();
        for (address, failures) in [
            ("2001:db8::1", 1),
            ("2001:db8::2:3", 2),
            ("2001:db8:0:1::1", 1),
            ("::ffff:10.0.0.1", 1),
            ("10.0.0.1", 2),
        ] {
            let counted = log.count_at("wrong", address.parse().ok(), now);
            assert_eq!(counted.peer_failures, failures, "{address}");
        }
    }
}
