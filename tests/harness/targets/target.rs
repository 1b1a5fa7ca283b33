//! The scriptable target: a listener on 127.0.0.1 that follows a script and counts what it sees.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::http::{self, CapturedRequest, Script};
use super::raw::{self, Step};

/// Length of the queue of connections that are not accepted yet.
const BACKLOG: u32 = 1_024;

/// A target, until dropped.
#[derive(Debug)]
pub struct TestTarget {
    address: SocketAddr,
    state: Arc<TestTargetState>,
    _stop: DropGuard,
}

/// Called with the bytes of each request, in place of recording it.
pub(super) type Observer = dyn Fn(&[u8]) + Send + Sync;

enum Behavior {
    Http(Option<Arc<Observer>>),
    Raw(Arc<[Step]>),
}

/// What the target does next, and what it has seen.
#[derive(Debug, Default)]
pub(super) struct TestTargetState {
    pub(super) script: Mutex<Script>,
    pub(super) requests: Mutex<Vec<CapturedRequest>>,
    /// What came in over each connection, in the order of the connections.
    pub(super) received: Mutex<Vec<Vec<u8>>>,
    pub(super) counters: Counters,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) connections: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    pub(super) max_sent_bytes: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) max_in_flight: AtomicU64,
}

/// An address that refuses connections until a target is opened there. No other process can take
/// the port: it is bound, and nobody listens.
#[derive(Debug)]
pub struct ReservedAddress {
    socket: TcpSocket,
    address: SocketAddr,
}

impl ReservedAddress {
    /// Reserves a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is none.
    pub fn new() -> Self {
        Self::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    fn bind(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        if address.port() != 0 {
            socket.set_reuseaddr(true).expect("an option");
        }
        socket.bind(address).expect("a free address");
        let address = socket.local_addr().expect("an address");
        Self { socket, address }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens an HTTP target there that hands each request to `observer` and does not record it.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn open_observed(
        self,
        script: impl Into<Script>,
        observer: impl Fn(&[u8]) + Send + Sync + 'static,
    ) -> TestTarget {
        let observer: Arc<Observer> = Arc::new(observer);
        self.open(script.into(), Behavior::Http(Some(observer)))
    }

    fn open(self, script: Script, behavior: Behavior) -> TestTarget {
        let listener = self.socket.listen(BACKLOG).expect("a listener");
        let state = Arc::new(TestTargetState {
            script: Mutex::new(script),
            ..TestTargetState::default()
        });
        let stop = CancellationToken::new();
        let accepting = accept(listener, Arc::new(behavior), state.clone(), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        TestTarget {
            address: self.address,
            state,
            _stop: stop.drop_guard(),
        }
    }
}

impl Default for ReservedAddress {
    fn default() -> Self {
        Self::new()
    }
}

impl TestTarget {
    /// An HTTP/1.1 target with persistent connections that answers as scripted: one [`ScriptedReply`] for
    /// all requests, or several, one after the other, of which the last one stays.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn http(script: impl Into<Script>) -> Self {
        ReservedAddress::new().open(script.into(), Behavior::Http(None))
    }

    /// A target that plays these steps on every connection.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn raw(steps: impl Into<Vec<Step>>) -> Self {
        Self::raw_with(|_| steps.into())
    }

    /// The same, with steps that depend on the target's own address.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn raw_with(steps: impl FnOnce(SocketAddr) -> Vec<Step>) -> Self {
        let reserved = ReservedAddress::new();
        let steps = steps(reserved.address);
        reserved.open(Script::default(), Behavior::Raw(steps.into()))
    }

    /// A target that reads and never answers: to prove that nothing was sent there.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn silent() -> Self {
        Self::raw([Step::Read])
    }

    /// The same at this address.
    ///
    /// # Panics
    /// When it cannot listen there.
    pub fn silent_on(address: SocketAddr) -> Self {
        let steps = [Step::Read].into();
        ReservedAddress::bind(address).open(Script::default(), Behavior::Raw(steps))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of its root.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Its name as limits know it: scheme, host and port.
    pub fn name(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the script. Requests that hang already go on hanging.
    pub fn set(&self, script: impl Into<Script>) {
        *lock(&self.state.script) = script.into();
    }

    /// The HTTP requests received so far, in order.
    pub fn requests(&self) -> Vec<CapturedRequest> {
        lock(&self.state.requests).clone()
    }

    /// The ids of the requests that were answered 200.
    pub fn delivered_ids(&self) -> BTreeSet<String> {
        let requests = lock(&self.state.requests);
        let delivered = requests.iter().filter(|it| it.status == Some(200));
        delivered.map(|it| it.id.clone()).collect()
    }

    /// What came in over each connection, in the order of the connections (raw targets).
    pub fn received(&self) -> Vec<Vec<u8>> {
        lock(&self.state.received).clone()
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> u64 {
        self.state.counters.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> u64 {
        self.state.counters.open.load(Ordering::SeqCst)
    }

    /// How many requests it has received: whole ones (HTTP), or heads (raw).
    pub fn request_count(&self) -> u64 {
        self.state.counters.requests.load(Ordering::SeqCst)
    }

    /// How many bytes it has received (raw targets).
    pub fn received_bytes(&self) -> u64 {
        self.state.counters.received_bytes.load(Ordering::SeqCst)
    }

    /// How many bytes it has sent over all connections (raw targets).
    pub fn sent_bytes(&self) -> u64 {
        self.state.counters.sent_bytes.load(Ordering::SeqCst)
    }

    /// The most bytes that it has sent over one connection that has ended, the kernel's buffers
    /// included (raw targets).
    pub fn max_sent_bytes(&self) -> u64 {
        self.state.counters.max_sent_bytes.load(Ordering::SeqCst)
    }

    /// The most requests that were in flight at a time (HTTP targets).
    pub fn max_in_flight(&self) -> u64 {
        self.state.counters.max_in_flight.load(Ordering::SeqCst)
    }

    /// Connections made to it, and bytes received over them: `(0, 0)` proves that it was not
    /// called.
    pub fn contacts(&self) -> (u64, u64) {
        (self.connections(), self.received_bytes())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    behavior: Arc<Behavior>,
    state: Arc<TestTargetState>,
    stop: CancellationToken,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        state.counters.connections.fetch_add(1, Ordering::SeqCst);
        let open = Gauge::raise(state.clone(), |counters| &counters.open);
        let (behavior, state) = (behavior.clone(), state.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            // Most connections end because the client leaves.
            let _ended = serve(stream, &behavior, &state).await;
            drop(open);
        }));
    }
}

async fn serve(
    stream: TcpStream,
    behavior: &Behavior,
    state: &Arc<TestTargetState>,
) -> io::Result<()> {
    match behavior {
        Behavior::Http(observer) => http::serve(stream, state, observer.as_deref()).await,
        Behavior::Raw(steps) => raw::serve(stream, state, steps).await,
    }
}

/// Counts something as going on until dropped.
pub(super) struct Gauge {
    state: Arc<TestTargetState>,
    counter: fn(&Counters) -> &AtomicU64,
}

impl Gauge {
    pub(super) fn raise(state: Arc<TestTargetState>, counter: fn(&Counters) -> &AtomicU64) -> Self {
        counter(&state.counters).fetch_add(1, Ordering::SeqCst);
        Self { state, counter }
    }

    pub(super) fn value(&self) -> u64 {
        (self.counter)(&self.state.counters).load(Ordering::SeqCst)
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        (self.counter)(&self.state.counters).fetch_sub(1, Ordering::SeqCst);
    }
}
