//! The open connections of a listener: at most so many, and the longest idle one makes room.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use futures_util::task::AtomicWaker;

use super::close_reason::CloseReason;
use super::config::PeerRange;
use super::metrics::ListenerMetrics;

/// The idle time of a connection with a request in progress.
const BUSY: u64 = 0;

/// How many candidates a search for the longest idle connections keeps, so that a flood of new
/// connections does not cost a search each.
const CANDIDATES: usize = 64;

/// How many connections a listener may have.
#[derive(Clone, Debug)]
pub(super) struct ConnectionCaps {
    pub(super) max: usize,
    /// For each peer that is not trusted.
    pub(super) max_per_peer: Option<usize>,
    pub(super) trusted: Vec<PeerRange>,
}

/// The open connections of a listener, shared by its workers.
pub(super) struct Connections {
    caps: ConnectionCaps,
    metrics: ListenerMetrics,
    started: Instant,
    open: Mutex<OpenSet>,
}

#[derive(Default)]
struct OpenSet {
    next_id: u64,
    by_id: HashMap<u64, Arc<Activity>>,
    /// Counted only if peers are limited.
    by_peer: HashMap<IpAddr, usize>,
    /// Connections by how long they were idle, longest first, at the last search.
    candidates: VecDeque<(u64, u64)>,
}

/// What a connection does.
#[derive(Debug)]
struct Activity {
    /// Since when it is idle, in microseconds of the listener's time, or [`BUSY`].
    idle_since: AtomicU64,
    shed: AtomicBool,
    waker: AtomicWaker,
}

/// An open connection. Counted until it is dropped.
pub(super) struct OpenConnection {
    id: u64,
    peer: Option<IpAddr>,
    activity: Arc<Activity>,
    is_busy: bool,
    reason: CloseReason,
    all: Arc<Connections>,
}

impl Connections {
    pub(super) fn new(caps: ConnectionCaps, metrics: ListenerMetrics) -> Arc<Self> {
        Arc::new(Self {
            caps,
            metrics,
            started: Instant::now(),
            open: Mutex::default(),
        })
    }

    /// Admits a new connection. The longest idle one is ended if there are too many.
    ///
    /// # Errors
    /// Why there is no place for it.
    pub(super) fn open(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
    ) -> Result<OpenConnection, CloseReason> {
        let opened = self.try_open(peer);
        match &opened {
            Ok(_) => self.metrics.opened(),
            Err(reason) => self.metrics.refused(*reason),
        }
        opened
    }

    fn try_open(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<OpenConnection, CloseReason> {
        let now = self.now();
        let limited = self.limited(peer);
        let mut open = self.lock();
        if let (Some(peer), Some(max)) = (limited, self.caps.max_per_peer)
            && open.by_peer.get(&peer).is_some_and(|count| *count >= max)
        {
            return Err(CloseReason::MaxConnectionsPerPeer);
        }
        if open.by_id.len() >= self.caps.max && !open.shed_longest_idle() {
            return Err(CloseReason::MaxConnections);
        }
        let id = open.next_id;
        open.next_id += 1;
        let activity = Arc::new(Activity {
            idle_since: AtomicU64::new(now),
            shed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        open.by_id.insert(id, Arc::clone(&activity));
        if let Some(peer) = limited {
            *open.by_peer.entry(peer).or_default() += 1;
        }
        Ok(OpenConnection {
            id,
            peer: limited,
            activity,
            is_busy: false,
            reason: CloseReason::Closed,
            all: Arc::clone(self),
        })
    }

    /// The peer, if its connections are counted.
    fn limited(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        self.caps.max_per_peer?;
        let peer = peer?.to_canonical();
        let trusted = self.caps.trusted.iter().any(|range| range.contains(peer));
        (!trusted).then_some(peer)
    }

    /// Never [`BUSY`].
    fn now(&self) -> u64 {
        let micros = self.started.elapsed().as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX).max(BUSY + 1)
    }

    fn lock(&self) -> MutexGuard<'_, OpenSet> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenSet {
    /// Ends the connection that is idle for longest. Returns whether there was one.
    fn shed_longest_idle(&mut self) -> bool {
        self.shed_candidate() || {
            self.find_candidates();
            self.shed_candidate()
        }
    }

    fn shed_candidate(&mut self) -> bool {
        while let Some((id, idle_since)) = self.candidates.pop_front() {
            // One that has worked since then is no longer the longest idle one.
            let same = |activity: &Arc<Activity>| {
                activity.idle_since.load(Ordering::Acquire) == idle_since
            };
            if self.by_id.get(&id).is_some_and(same)
                && let Some(activity) = self.by_id.remove(&id)
            {
                activity.shed.store(true, Ordering::Release);
                activity.waker.wake();
                return true;
            }
        }
        false
    }

    fn find_candidates(&mut self) {
        let all = self.by_id.iter();
        let idle = all.map(|(id, activity)| (activity.idle_since.load(Ordering::Acquire), *id));
        let mut idle: Vec<(u64, u64)> = idle.filter(|(since, _)| *since != BUSY).collect();
        if idle.len() > CANDIDATES {
            idle.select_nth_unstable(CANDIDATES);
            idle.truncate(CANDIDATES);
        }
        idle.sort_unstable();
        self.candidates = idle.into_iter().map(|(since, id)| (id, since)).collect();
    }
}

impl OpenConnection {
    /// A request is in progress: its head is complete, and its answer is not written.
    pub(super) fn set_busy(&mut self) {
        if !self.is_busy {
            self.is_busy = true;
            self.activity.idle_since.store(BUSY, Ordering::Release);
        }
    }

    pub(super) fn set_idle(&mut self) {
        self.is_busy = false;
        let now = self.all.now();
        self.activity.idle_since.store(now, Ordering::Release);
    }

    /// Whether it must make room for another one.
    pub(super) fn is_shed(&self) -> bool {
        self.activity.shed.load(Ordering::Acquire)
    }

    /// The same, and wakes this task when it must. The task is registered before the look, so that
    /// no order is missed.
    pub(super) fn poll_shed(&self, waker: &Waker) -> bool {
        self.activity.waker.register(waker);
        self.is_shed()
    }

    /// It is about to end, for this reason.
    pub(super) fn ends(&mut self, reason: CloseReason) {
        self.reason = reason;
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut open = self.all.lock();
        open.by_id.remove(&self.id);
        if let Some(peer) = self.peer
            && let Some(count) = open.by_peer.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                open.by_peer.remove(&peer);
            }
        }
        drop(open);
        self.all.metrics.closed(self.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MetricsRegistry;
    use crate::http::metrics::HttpMetrics;

    fn connections(max: usize, max_per_peer: Option<usize>, trusted: &[&str]) -> Arc<Connections> {
        let metrics = MetricsRegistry::new().add(HttpMetrics::register);
        let trusted = trusted
            .iter()
            .map(|range| (*range).to_owned().try_into().unwrap());
        let caps = ConnectionCaps {
            max,
            max_per_peer,
            trusted: trusted.collect(),
        };
        Connections::new(caps, metrics.listener("test"))
    }

    fn peer(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    fn idle_since(connection: &OpenConnection, micros: u64) {
        let idle = &connection.activity.idle_since;
        idle.store(micros, Ordering::Release);
    }

    #[test]
    fn at_the_cap_the_longest_idle_connection_makes_room() {
        let all = connections(3, None, &[]);
        let [mut first, second, third] = [1, 2, 3].map(|_| all.open(None).unwrap());
        for (connection, micros) in [(&first, 10), (&second, 30), (&third, 20)] {
            idle_since(connection, micros);
        }
        first.set_busy();
        let fourth = all.open(None).unwrap();
        assert!(third.is_shed() && !first.is_shed() && !second.is_shed());
        // What it did since the last search counts.
        idle_since(&second, u64::MAX);
        idle_since(&fourth, 40);
        let _fifth = all.open(None).unwrap();
        assert!(fourth.is_shed() && !second.is_shed());
    }

    #[test]
    fn a_connection_that_was_looked_at_is_woken_when_it_must_make_room() {
        struct Woken(AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, Ordering::Release);
            }
        }
        let all = connections(1, None, &[]);
        let connection = all.open(None).unwrap();
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        assert!(!connection.poll_shed(&waker));
        assert!(!woken.0.load(Ordering::Acquire));
        let _other = all.open(None).unwrap();
        assert!(woken.0.load(Ordering::Acquire));
        assert!(connection.poll_shed(&waker));
    }

    #[test]
    fn at_the_cap_without_an_idle_connection_a_new_one_is_refused() {
        let all = connections(2, None, &[]);
        let mut both = [1, 2].map(|_| all.open(None).unwrap());
        both.iter_mut().for_each(OpenConnection::set_busy);
        assert_eq!(all.open(None).err(), Some(CloseReason::MaxConnections));
        let [first, _second] = both;
        drop(first);
        assert!(all.open(None).is_ok());
    }

    #[test]
    fn a_peer_is_limited_only_if_that_is_set_and_it_is_no_trusted_proxy() {
        let all = connections(100, Some(2), &["10.0.0.8/29", "10.0.0.1"]);
        let held = [2, 2, 3, 1, 1, 1, 9, 9, 9].map(|last| all.open(peer(last)).unwrap());
        let refused = Some(CloseReason::MaxConnectionsPerPeer);
        assert_eq!(all.open(peer(2)).err(), refused);
        let mapped: IpAddr = "::ffff:10.0.0.2".parse().unwrap();
        assert_eq!(all.open(Some(mapped)).err(), refused);
        drop(held);
        assert!(all.open(peer(2)).is_ok());
        assert!(all.lock().by_peer.is_empty() && all.lock().by_id.is_empty());
        let unlimited = connections(100, None, &[]);
        let held: Vec<_> = (0..50).map(|_| unlimited.open(peer(2)).unwrap()).collect();
        assert!(unlimited.lock().by_peer.is_empty());
        drop(held);
    }

    #[test]
    fn thousands_are_shed_in_the_order_of_their_idle_time() {
        let all = connections(1_000, None, &[]);
        let old: Vec<_> = (0..1_000).map(|_| all.open(None).unwrap()).collect();
        for (micros, connection) in (1..).zip(&old) {
            idle_since(connection, micros);
        }
        let mut new = Vec::new();
        for count in 1..=500 {
            new.push(all.open(None).unwrap());
            let shed = old.iter().filter(|one| one.is_shed()).count();
            assert!(shed == count && old[count - 1].is_shed(), "{count}");
        }
        assert!(!new.iter().any(OpenConnection::is_shed));
    }
}
