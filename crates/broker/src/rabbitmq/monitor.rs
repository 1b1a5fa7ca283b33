//! What the connections of one broker know together: the faults of single objects, and what the
//! topology's keeper has found.

use super::nodes::Nodes;
use super::topology::target_queue::TargetQueue;
use crate::confirms::ConfirmObserver;
use crate::faults::{BrokerFaults, FaultEvent, FaultKind};
use crate::message::Queue;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// A fault that comes and goes is logged at most so often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Shared by all connections of one broker.
#[derive(Debug)]
pub(super) struct Monitor {
    faults: watch::Sender<BrokerFaults>,
    /// When each fault was last logged. As bounded as the faults.
    logged: Mutex<BTreeMap<(FaultKind, String), Instant>>,
    /// The destinations whose exchange is missing, by their bits.
    missing: AtomicU32,
    /// Whether the topology was complete once.
    verified: AtomicBool,
    /// Held by the connection that prepares the topology for the first time.
    pub(super) preparing: tokio::sync::Mutex<()>,
    /// What the connections know about the nodes.
    pub(super) nodes: Nodes,
    check: Notify,
    rebind: AtomicBool,
    /// Who is told how long publishes took.
    pub(super) confirms: ConfirmObserver,
}

/// Nothing has happened.
impl Default for Monitor {
    fn default() -> Self {
        let mut faults = BrokerFaults::default();
        for event in [
            FaultEvent::Nack,
            FaultEvent::Overdue,
            FaultEvent::LateConfirm,
        ] {
            faults.expect(event, TargetQueue::all().map(TargetQueue::name));
        }
        let readable = Queue::ALL.into_iter().map(Queue::as_str);
        faults.expect(FaultEvent::SilentConsumer, readable);
        Self {
            faults: watch::Sender::new(faults),
            logged: Mutex::default(),
            missing: AtomicU32::default(),
            verified: AtomicBool::default(),
            preparing: tokio::sync::Mutex::default(),
            nodes: Nodes::default(),
            check: Notify::default(),
            rebind: AtomicBool::default(),
            confirms: ConfirmObserver::default(),
        }
    }
}

impl Monitor {
    pub(super) fn faults(&self) -> watch::Receiver<BrokerFaults> {
        self.faults.subscribe()
    }

    pub(super) fn count(&self, event: FaultEvent, queue: &'static str) {
        self.faults.send_modify(|faults| faults.count(event, queue));
    }

    /// Sets a fault of an object. The first time within a minute it is logged as a warning, with
    /// what it means.
    pub(super) fn raise(&self, kind: FaultKind, object: &str, meaning: &str) {
        let set = |faults: &mut BrokerFaults| faults.set(kind, object, true);
        if !self.faults.send_if_modified(set) {
            return;
        }
        let (mut logged, now) = (self.logged(), Instant::now());
        let before = logged.get(&(kind, object.to_owned()));
        if before.is_none_or(|before| now.duration_since(*before) >= LOG_INTERVAL) {
            logged.insert((kind, object.to_owned()), now);
            tracing::warn!(queue = object, "{meaning}");
        } else {
            tracing::debug!(queue = object, "{meaning}");
        }
    }

    /// Takes a fault back.
    pub(super) fn clear(&self, kind: FaultKind, object: &str) {
        let clear = |faults: &mut BrokerFaults| faults.set(kind, object, false);
        if self.faults.send_if_modified(clear) {
            tracing::debug!(queue = object, ?kind, "a fault of the broker has ended");
        }
    }

    fn logged(&self) -> std::sync::MutexGuard<'_, BTreeMap<(FaultKind, String), Instant>> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the exchange that leads there is missing.
    pub(super) fn is_missing(&self, destination: TargetQueue) -> bool {
        self.missing.load(Ordering::Relaxed) & destination.bit() != 0
    }

    /// Replaces the set of destinations whose exchange is missing.
    pub(super) fn set_missing(&self, bits: u32) {
        self.missing.store(bits, Ordering::Relaxed);
    }

    pub(super) fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Acquire)
    }

    pub(super) fn set_verified(&self) {
        self.verified.store(true, Ordering::Release);
    }

    /// Asks for a check of the topology: something suggests that an object is missing.
    pub(super) fn suspect_topology(&self) {
        self.check.notify_one();
    }

    /// Asks for a check, with all bindings declared again: a message matched none.
    pub(super) fn suspect_bindings(&self) {
        self.rebind.store(true, Ordering::Release);
        self.check.notify_one();
    }

    /// Waits until a check is asked for.
    pub(super) async fn suspected(&self) {
        self.check.notified().await;
    }

    /// Whether the bindings are in doubt.
    pub(super) fn is_rebind_asked(&self) -> bool {
        self.rebind.load(Ordering::Acquire)
    }

    /// Whether the bindings are in doubt; the answer takes the doubt away.
    pub(super) fn take_rebind(&self) -> bool {
        self.rebind.swap(false, Ordering::AcqRel)
    }
}
