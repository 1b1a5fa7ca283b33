//! All connections to targets, in use and idle: bounded in total, so that the listeners always have
//! descriptors left.
//!
//! A bound on what is idle for each host would be none, since there may be any number of hosts. At the
//! bound the connection that has been idle for longest makes room for a new one. Connections are kept
//! by client, so that one is only used again under the address policy and the TLS profile for which it
//! was opened.

use crate::http::connector::CutOff;
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper::http::uri::{Authority, Scheme};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// How many idle connections are kept beside those in use. Each takes about 16 KiB.
const MAX_IDLE: usize = 2_048;
/// How long an idle connection is kept. Targets close theirs after about a minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often idle connections are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long a new connection waits for another one to be closed. Shorter than the shortest timeout of
/// an attempt, because it is not the target's fault.
const SLOT_TIMEOUT: Duration = Duration::from_millis(500);

/// Sends requests on one connection, which is closed when this is dropped.
pub(crate) struct Sender {
    pub(crate) requests: SendRequest<Full<Bytes>>,
    pub(crate) cut_off: CutOff,
}

impl Drop for Sender {
    /// Its task may be writing to a target that reads nothing, for ever: the next poll ends it.
    fn drop(&mut self) {
        self.cut_off.now();
    }
}

/// Where a connection may be used again: the client that opened it, and the target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    pub(crate) client: u64,
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
}

/// The connections to targets of a process. Cheap to clone.
pub(crate) struct TargetConnections<S = Sender>(Arc<Shared<S>>);

/// What the connections need to know of the senders that they keep.
pub(crate) trait Reusable: Send + 'static {
    /// Whether the connection was closed by the other side.
    fn is_closed(&self) -> bool;
}

/// The right to have one connection open.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    open: Gauge,
    _permit: OwnedSemaphorePermit,
}

/// All connections are in use.
#[derive(Debug, thiserror::Error)]
#[error("all connections to targets that the limit of open files allows are in use")]
pub(crate) struct NoConnectionLeft;

struct Shared<S> {
    slots: Arc<Semaphore>,
    idle: Mutex<IdleConnections<S>>,
    open: Gauge,
    shed: Counter,
}

struct IdleConnections<S> {
    /// The oldest first.
    by_age: BTreeMap<u64, Idle<S>>,
    /// The numbers of a target's idle connections, the oldest first.
    by_key: HashMap<PoolKey, Vec<u64>>,
    next: u64,
    /// How many new connections wait for a slot.
    waiting: usize,
}

struct Idle<S> {
    key: PoolKey,
    sender: S,
    since: Instant,
}

impl Reusable for Sender {
    fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }
}

impl<S> Clone for TargetConnections<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Reusable> TargetConnections<S> {
    /// At most `by_files` connections, and no more than `calls_in_flight` can need. Call it inside a
    /// Tokio runtime.
    pub(crate) fn new(by_files: usize, calls_in_flight: usize, open: Gauge, shed: Counter) -> Self {
        if by_files < calls_in_flight {
            tracing::warn!(
                connections = by_files,
                calls_in_flight,
                "calls to targets may wait for connections: the process may not have more files open"
            );
        }
        let max = by_files.min(calls_in_flight + MAX_IDLE).max(1);
        let shared = Arc::new(Shared {
            slots: Arc::new(Semaphore::new(max)),
            idle: Mutex::default(),
            open,
            shed,
        });
        tokio::spawn(sweep(Arc::downgrade(&shared)));
        Self(shared)
    }

    /// Makes room for one more connection.
    ///
    /// # Errors
    /// All are in use, and none becomes idle soon.
    pub(crate) async fn slot(&self) -> Result<ConnectionSlot, NoConnectionLeft> {
        let slots = &self.0.slots;
        let permit = match Arc::clone(slots).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _waiting = Waiting::begin(&self.0);
                let permit = Arc::clone(slots).acquire_owned();
                match tokio::time::timeout(SLOT_TIMEOUT, permit).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) | Err(_) => return Err(NoConnectionLeft),
                }
            }
        };
        let open = self.0.open.clone();
        open.inc();
        Ok(ConnectionSlot {
            open,
            _permit: permit,
        })
    }

    /// The connection to a target that became idle last.
    pub(crate) fn take(&self, key: &PoolKey) -> Option<S> {
        let mut idle = self.0.idle();
        loop {
            let number = idle.by_key.get_mut(key)?.pop()?;
            let found = idle.by_age.remove(&number);
            if idle.by_key.get(key).is_some_and(Vec::is_empty) {
                idle.by_key.remove(key);
            }
            let found = found.filter(|it| !it.sender.is_closed() && !it.is_expired());
            if let Some(found) = found {
                return Some(found.sender);
            }
        }
    }

    /// Keeps a connection that is ready for the next request.
    pub(crate) fn put(&self, key: PoolKey, sender: S) {
        let mut idle = self.0.idle();
        idle.insert(key, sender);
        // A new connection waits that found no idle one.
        if idle.waiting > 0 {
            self.0.shed(&mut idle);
        }
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.open.dec();
    }
}

impl<S> Default for IdleConnections<S> {
    fn default() -> Self {
        Self {
            by_age: BTreeMap::new(),
            by_key: HashMap::new(),
            next: 0,
            waiting: 0,
        }
    }
}

impl<S: Reusable> IdleConnections<S> {
    fn insert(&mut self, key: PoolKey, sender: S) {
        let number = self.next;
        self.next += 1;
        self.by_key.entry(key.clone()).or_default().push(number);
        let since = Instant::now();
        let idle = Idle { key, sender, since };
        self.by_age.insert(number, idle);
    }

    fn remove_oldest(&mut self) -> Option<S> {
        let (number, oldest) = self.by_age.pop_first()?;
        self.forget(&oldest.key, number);
        Some(oldest.sender)
    }

    fn forget(&mut self, key: &PoolKey, number: u64) {
        if let Some(numbers) = self.by_key.get_mut(key) {
            numbers.retain(|kept| *kept != number);
            if numbers.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    /// Removes what is closed or has been idle for too long.
    fn sweep(&mut self) -> Vec<S> {
        let is_useless = |idle: &Idle<S>| idle.is_expired() || idle.sender.is_closed();
        let useless = self.by_age.iter().filter(|(_, idle)| is_useless(idle));
        let useless: Vec<u64> = useless.map(|(number, _)| *number).collect();
        let mut removed = Vec::with_capacity(useless.len());
        for number in useless {
            if let Some(idle) = self.by_age.remove(&number) {
                self.forget(&idle.key, number);
                removed.push(idle.sender);
            }
        }
        removed
    }
}

impl<S> Idle<S> {
    fn is_expired(&self) -> bool {
        self.since.elapsed() > IDLE_TIMEOUT
    }
}

impl<S> Shared<S> {
    fn idle(&self) -> MutexGuard<'_, IdleConnections<S>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Reusable> Shared<S> {
    /// Closes the connection that has been idle for longest.
    fn shed(&self, idle: &mut IdleConnections<S>) {
        while let Some(oldest) = idle.remove_oldest() {
            // One that is closed already has made room before.
            if !oldest.is_closed() {
                self.shed.inc();
                return;
            }
        }
    }
}

/// A new connection waits for a slot.
struct Waiting<'a, S>(&'a Shared<S>);

impl<'a, S: Reusable> Waiting<'a, S> {
    fn begin(shared: &'a Shared<S>) -> Self {
        let mut idle = shared.idle();
        idle.waiting += 1;
        shared.shed(&mut idle);
        Self(shared)
    }
}

impl<S> Drop for Waiting<'_, S> {
    fn drop(&mut self) {
        self.0.idle().waiting -= 1;
    }
}

/// Closes useless connections every few seconds, until all others have forgotten the connections.
async fn sweep<S: Reusable>(shared: Weak<Shared<S>>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let swept = shared.idle().sweep();
        drop(swept); // Outside the lock.
    }
}

#[cfg(test)]
mod tests;
