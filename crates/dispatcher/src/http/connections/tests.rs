//! The bound holds, the oldest goes first, and a connection is used again for its own key only.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// A connection: its slot is free when the test drops it, as a closed connection's is.
struct Fake {
    name: &'static str,
    is_closed: Arc<AtomicBool>,
    _slot: Option<ConnectionSlot>,
}

impl Reusable for Fake {
    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }
}

fn connections(max: usize) -> (TargetConnections<Fake>, Gauge, Counter) {
    let (open, shed) = (Gauge::default(), Counter::default());
    let connections = TargetConnections::new(max, 1, open.clone(), shed.clone());
    (connections, open, shed)
}

fn key(client: u64, authority: &'static str) -> PoolKey {
    PoolKey {
        client,
        scheme: Scheme::HTTP,
        authority: Authority::from_static(authority),
    }
}

fn fake(name: &'static str, slot: Option<ConnectionSlot>) -> Fake {
    Fake {
        name,
        is_closed: Arc::default(),
        _slot: slot,
    }
}

async fn opened(connections: &TargetConnections<Fake>, name: &'static str) -> Fake {
    fake(name, Some(connections.slot().await.unwrap()))
}

#[tokio::test(start_paused = true)]
async fn at_the_bound_the_connection_that_was_idle_for_longest_makes_room() {
    let (connections, open, shed) = connections(3);
    for name in ["a:1", "b:1", "c:1"] {
        let connection = opened(&connections, name).await;
        connections.put(key(1, name), connection);
    }
    // Used again, so it is the youngest now.
    let first = connections.take(&key(1, "a:1")).unwrap();
    connections.put(key(1, "a:1"), first);
    let fourth = opened(&connections, "d:1").await;
    assert_eq!((open.get(), shed.get()), (3, 1));
    assert!(connections.take(&key(1, "b:1")).is_none());
    assert_eq!(connections.take(&key(1, "c:1")).unwrap().name, "c:1");
    assert_eq!(connections.take(&key(1, "a:1")).unwrap().name, "a:1");
    drop(fourth);
    assert_eq!(open.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_waits_for_one_in_use_and_not_for_ever() {
    let (connections, _, shed) = connections(2);
    let (one, two) = (
        opened(&connections, "a:1").await,
        opened(&connections, "b:1").await,
    );
    let refused = connections.slot().await.unwrap_err();
    assert!(refused.to_string().contains("open files"), "{refused}");
    let waiting = tokio::spawn({
        let connections = connections.clone();
        async move { connections.slot().await }
    });
    tokio::task::yield_now().await;
    // It becomes idle, and is closed at once for the one that waits.
    connections.put(key(1, "a:1"), one);
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(shed.get(), 1);
    assert!(connections.take(&key(1, "a:1")).is_none());
    drop(two);
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_its_own_client_scheme_and_authority_only() {
    let (connections, ..) = connections(9);
    connections.put(key(1, "host:1"), fake("it", None));
    let https = PoolKey {
        scheme: Scheme::HTTPS,
        ..key(1, "host:1")
    };
    for other in [key(2, "host:1"), key(1, "host:2"), key(1, "hosts:1"), https] {
        assert!(connections.take(&other).is_none(), "{other:?}");
    }
    assert!(connections.take(&key(1, "host:1")).is_some());
    assert!(connections.take(&key(1, "host:1")).is_none());
}

#[tokio::test(start_paused = true)]
async fn closed_and_old_connections_are_neither_used_nor_kept() {
    let (connections, open, _) = connections(9);
    let target = key(1, "a:1");
    let closed = opened(&connections, "closed").await;
    closed.is_closed.store(true, Ordering::Relaxed);
    connections.put(target.clone(), opened(&connections, "older").await);
    connections.put(target.clone(), closed);
    assert_eq!(connections.take(&target).unwrap().name, "older");
    for name in ["a:1", "b:1"] {
        connections.put(key(1, name), opened(&connections, name).await);
    }
    assert_eq!(open.get(), 2);
    tokio::time::sleep(IDLE_TIMEOUT + SWEEP_INTERVAL * 2).await;
    assert_eq!(open.get(), 0);
    let idle = connections.0.idle();
    assert!(idle.by_age.is_empty() && idle.by_key.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_bounded_for_any_number_of_hosts() {
    let (connections, open, shed) = connections(50);
    for port in 1..=5_000_u32 {
        let connection = opened(&connections, "any").await;
        let key = PoolKey {
            authority: format!("host:{port}").parse().unwrap(),
            ..key(1, "host:0")
        };
        connections.put(key, connection);
        assert!(open.get() <= 50);
    }
    assert_eq!(shed.get(), 4_950);
    let idle = connections.0.idle();
    assert_eq!((idle.by_age.len(), idle.by_key.len()), (50, 50));
}
