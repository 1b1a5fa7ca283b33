//! One supervised connection to RabbitMQ.
//!
//! A task connects and watches the connection; on any fault it drops the connection and starts
//! again with another node, without end. The topology is prepared by the first connection of the
//! process, and is watched by its keeper afterwards: a connection that comes back serves at once.
//! lapin's own recovery is not used: it gives up after some attempts and was the source of its last
//! ten bugs.

use super::counted_stream::{CountingReactor, Heard};
use super::liveness::{self, Liveness, Next};
use super::monitor::Monitor;
use super::options::RabbitMqOptions;
use super::reconnect::{Reconnect, shuffle};
use super::stage::{Progress, Stage};
use super::tls;
use super::topology::check;
use super::topology::objects::Topology;
use crate::state::ConnectionState;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use lapin::options::BasicQosOptions;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, Event};
use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// For TCP, TLS, the handshake of AMQP and a first channel. A node that is stopped still accepts
/// TCP connections.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A new connection that takes longer is shown, with the stage that it waits for.
const SLOW_HANDSHAKE: Duration = Duration::from_secs(2);
/// For the names of all nodes.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);
/// How many addresses of one name are tried.
const MAX_ADDRESSES: usize = 16;
/// For the first preparation of the topology. Declaring a quorum queue takes some time on a
/// cluster.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionRole {
    Publish,
    /// Publishes as well, through another node.
    PublishElsewhere,
    Consume,
    /// Publishes records for the journal.
    PublishRecords,
    /// Consumes the journal's queue.
    ConsumeRecords,
    /// Questions and commands between processes.
    Control,
}

impl ConnectionRole {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::PublishElsewhere => "publish_elsewhere",
            Self::Consume => "consume",
            Self::PublishRecords => "publish_records",
            Self::ConsumeRecords => "consume_records",
            Self::Control => "control",
        }
    }

    /// The position among the connections that publish callbacks, which go to different nodes.
    const fn publishing(self) -> Option<usize> {
        match self {
            Self::Publish => Some(0),
            Self::PublishElsewhere => Some(1),
            Self::Consume | Self::PublishRecords | Self::ConsumeRecords | Self::Control => None,
        }
    }
}

/// A supervised connection. Cheap to clone; ended by [`ManagedConnection::close`].
#[derive(Clone, Debug)]
pub(super) struct ManagedConnection {
    session: watch::Receiver<Option<Arc<Session>>>,
    state: watch::Receiver<ConnectionState>,
    monitor: Arc<Monitor>,
    stop: CancellationToken,
    ended: CancellationToken,
}

/// One established connection, from its handshake until its first fault.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) connection: Connection,
    /// Cancelled by whichever task sees the first fault.
    pub(super) down: CancellationToken,
    fault: OnceLock<String>,
    socket: Arc<OnceLock<TcpStream>>,
    state: watch::Sender<ConnectionState>,
    /// Set by whatever is read, and taken by each tick of the supervisor.
    heard: Heard,
    /// Whether the node owes an answer.
    doubtful: AtomicBool,
    /// Changed when the broker closes any channel of this connection.
    channel_closed: watch::Sender<()>,
    /// For questions to the node itself.
    asking: Channel,
}

impl Session {
    /// Whether the node owes an answer: other connections are better at present.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }

    /// Tells when the broker closes a channel, whichever it is.
    pub(super) fn channel_closed(&self) -> watch::Receiver<()> {
        self.channel_closed.subscribe()
    }

    /// Ends this session: the supervisor drops the connection and makes a new one.
    pub(super) fn fail(&self, reason: impl Into<String>) {
        // The first reason is the cause; later ones are its consequences.
        let _ = self.fault.set(reason.into());
        self.down.cancel();
    }

    /// Whether the broker accepts no messages at present.
    pub(super) fn is_blocked(&self) -> bool {
        matches!(*self.state.borrow(), ConnectionState::Blocked(_))
    }

    /// Shuts the socket down, so that nothing still buffered is written afterwards.
    fn cut(&self) {
        if let Some(socket) = self.socket.get() {
            // An error means that the peer closed it first.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl ManagedConnection {
    /// Starts the task that keeps a connection up.
    pub(super) fn start(
        options: Arc<RabbitMqOptions>,
        topology: Arc<Topology>,
        role: ConnectionRole,
    ) -> Self {
        let (session_sender, session) = watch::channel(None);
        let (state_sender, state) = watch::channel(ConnectionState::NeverConnected(String::new()));
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let monitor = Arc::clone(&options.monitor);
        let supervisor = Supervisor {
            options,
            topology,
            role,
            session: session_sender,
            state: state_sender,
            stop: stop.clone(),
        };
        let ended_guard = ended.clone().drop_guard();
        tokio::spawn(async move {
            supervisor.run().await;
            drop(ended_guard);
        });
        Self {
            session,
            state,
            monitor,
            stop,
            ended,
        }
    }

    /// Waits for an established session; `None` once the connection is closed.
    pub(super) async fn session(&self) -> Option<Arc<Session>> {
        let mut session = self.session.clone();
        let is_up = |session: &Option<Arc<Session>>| {
            session
                .as_ref()
                .is_some_and(|session| !session.down.is_cancelled())
        };
        tokio::select! {
            session = session.wait_for(is_up) => session.ok()?.clone(),
            () = self.stop.cancelled() => None,
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    /// What all connections of this broker know together.
    pub(super) const fn monitor(&self) -> &Arc<Monitor> {
        &self.monitor
    }

    /// Closes the connection with AMQP's closing handshake.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.ended.cancelled().await;
    }
}

/// What the connection's task owns.
struct Supervisor {
    options: Arc<RabbitMqOptions>,
    topology: Arc<Topology>,
    role: ConnectionRole,
    session: watch::Sender<Option<Arc<Session>>>,
    state: watch::Sender<ConnectionState>,
    stop: CancellationToken,
}

/// One address of one node, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    /// The position of the node.
    node: usize,
    address: Result<SocketAddr, String>,
}

impl Supervisor {
    async fn run(self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.connect_again_and_again())
            .await;
        // Whatever it was doing, the session is closed in order.
        let session = self.session.send_replace(None);
        if let Some(session) = session {
            session.down.cancel();
            let close = session.connection.close(200, "OK".into());
            if !matches!(tokio::time::timeout(CLOSE_TIMEOUT, close).await, Ok(Ok(()))) {
                session.cut();
            }
        }
    }

    async fn connect_again_and_again(&self) {
        let mut reconnect = Reconnect::new();
        let mut was_connected = false;
        let mut round = VecDeque::new();
        let mut last: Option<Endpoint> = None;
        loop {
            let endpoint = match self.choose(&mut round) {
                Some(endpoint) => endpoint,
                None => {
                    round = self.addresses(last.as_ref()).await;
                    continue;
                }
            };
            let nodes = &self.options.monitor.nodes;
            let reason = match self.connect(&endpoint).await {
                Ok(session) => {
                    was_connected = true;
                    reconnect.connected(Instant::now());
                    nodes.answered(endpoint.node);
                    self.watch(&session, endpoint.node).await
                }
                Err(reason) => reason,
            };
            if reconnect.failed(Instant::now()) {
                round = self.addresses(Some(&endpoint)).await;
            }
            // Another node is tried at once. Only when all have failed, there is a wait.
            let another = round.iter().any(|next| *next != endpoint);
            let wait = match another {
                true => Duration::ZERO,
                false => reconnect.next_wait(),
            };
            tracing::warn!(
                connection = self.role.as_str(),
                node = %self.name(&endpoint),
                reason,
                wait_ms = wait.as_millis(),
                "broker connection down; trying again"
            );
            let reason = self.located(&endpoint, &reason);
            self.state.send_replace(if was_connected {
                ConnectionState::Disconnected(reason)
            } else {
                ConnectionState::NeverConnected(reason)
            });
            last = Some(endpoint);
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes the next address out of a round. A publishing connection does not go where the other
    /// one goes, as long as there is a choice.
    fn choose(&self, round: &mut VecDeque<Endpoint>) -> Option<Endpoint> {
        let (nodes, now) = (&self.options.monitor.nodes, Instant::now());
        let candidates = round.iter().map(|it| it.node);
        round.remove(nodes.choose(candidates, self.role.publishing(), now)?)
    }

    /// The reason with the node that it is about: `/readyz` has no other field for it.
    fn located(&self, endpoint: &Endpoint, reason: &str) -> String {
        let authority = &self.options.nodes[endpoint.node].authority;
        format!("{reason} ({}:{})", authority.host, authority.port)
    }

    /// Says what the first connection waits for, before its time is up.
    fn show_slow(&self, endpoint: &Endpoint, progress: &Progress) {
        let reason = self.located(endpoint, &progress.hangs(SLOW_HANDSHAKE));
        self.state.send_if_modified(|state| {
            let is_first = matches!(state, ConnectionState::NeverConnected(_));
            if is_first {
                *state = ConnectionState::NeverConnected(reason);
            }
            is_first
        });
    }

    /// The node and its address, for the log.
    fn name(&self, endpoint: &Endpoint) -> String {
        let authority = &self.options.nodes[endpoint.node].authority;
        let address = endpoint.address.as_ref();
        let address = address.map(|it| it.ip().to_string()).unwrap_or_default();
        format!("{}:{} {address}", authority.host, authority.port)
    }

    /// All addresses of all nodes, in the order in which they are tried.
    async fn addresses(&self, failed: Option<&Endpoint>) -> VecDeque<Endpoint> {
        let nodes = self.options.nodes.iter().enumerate();
        let resolved = nodes.map(async |(node, uri)| {
            let (host, port) = (&*uri.authority.host, uri.authority.port);
            let found = tokio::net::lookup_host((host, port));
            let reason = match tokio::time::timeout(RESOLVE_TIMEOUT, found).await {
                Ok(Ok(found)) => {
                    let found: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
                    match found.is_empty() {
                        false => return (node, Ok(found)),
                        true => "the name has no address".to_owned(),
                    }
                }
                Ok(Err(error)) => format!("IO error: {error}"),
                Err(_) => "the name is not resolved in time".to_owned(),
            };
            (node, Err(reason))
        });
        let mut endpoints = Vec::new();
        for (node, found) in futures_util::future::join_all(resolved).await {
            match found {
                Ok(found) => endpoints.extend(found.into_iter().map(|address| Endpoint {
                    node,
                    address: Ok(address),
                })),
                Err(reason) => endpoints.push(Endpoint {
                    node,
                    address: Err(reason),
                }),
            }
        }
        // Each process has new random seeds, which is random enough here.
        let random = RandomState::new();
        shuffle(&mut endpoints, failed, |below| {
            usize::try_from(random.hash_one(below)).unwrap_or(0) % below
        });
        endpoints.into()
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Arc<Session>, String> {
        let address = endpoint.address.clone()?;
        let mut uri = self.options.nodes[endpoint.node].clone();
        let credentials = &self.options.credentials;
        if let Some(newer) = credentials.of(endpoint.node, &uri.authority) {
            uri.authority.userinfo = newer;
        }
        let socket = Arc::new(OnceLock::<TcpStream>::new());
        let heard = Heard::default();
        let progress = Arc::new(Progress::default());
        let handles = (Arc::clone(&socket), heard.clone(), Arc::clone(&progress));
        let opened = self.open_connection(uri, address, handles);
        let mut opened = Box::pin(tokio::time::timeout(HANDSHAKE_TIMEOUT, opened));
        let opened = match tokio::time::timeout(SLOW_HANDSHAKE, &mut opened).await {
            Ok(opened) => opened,
            Err(_) => {
                self.show_slow(endpoint, &progress);
                opened.await
            }
        };
        let reason = match opened {
            Ok(Ok((connection, asking))) => match self.prepare(&connection, &progress).await {
                Ok(()) => {
                    return Ok(Arc::new(Session {
                        connection,
                        down: CancellationToken::new(),
                        fault: OnceLock::new(),
                        socket,
                        state: self.state.clone(),
                        heard,
                        doubtful: AtomicBool::new(false),
                        channel_closed: watch::Sender::new(()),
                        asking,
                    }));
                }
                Err(reason) => reason,
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                let nodes = &self.options.monitor.nodes;
                nodes.silent(endpoint.node, Instant::now());
                progress.hangs(HANDSHAKE_TIMEOUT)
            }
        };
        if let Some(socket) = socket.get() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        Err(reason)
    }

    /// Connects, and opens a first channel: only a node that is at work does that. Puts a second
    /// handle of the socket into `socket`, which is the only way to shut it down later. `progress` says
    /// what it waits for.
    async fn open_connection(
        &self,
        uri: AMQPUri,
        address: SocketAddr,
        (socket, heard, progress): (Arc<OnceLock<TcpStream>>, Heard, Arc<Progress>),
    ) -> lapin::Result<(Connection, Channel)> {
        let connected = Arc::clone(&progress);
        let options = &self.options;
        let tls = options.tls.clone();
        let name = format!("{} {}", options.connection_name, self.role.as_str());
        let properties = ConnectionProperties::default().with_connection_name(name.as_str().into());
        let tokio = Tokio::current();
        let reactor = CountingReactor {
            tokio: tokio.clone(),
            heard,
        };
        let connection = Connection::connector(
            uri,
            Runtime::new(RuntimeParts::new(tokio, reactor)),
            async move |uri: AMQPUri, runtime| {
                let stream = AsyncTcpStream::connect(&runtime, address).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    let _ = socket.set(plain.as_fd().try_clone_to_owned()?.into());
                }
                match uri.scheme {
                    AMQPScheme::AMQP => {
                        progress.enter(Stage::Handshake);
                        Ok(stream)
                    }
                    AMQPScheme::AMQPS => {
                        progress.enter(Stage::Tls);
                        let with_prefix = |error: io::Error| tls::with_prefix(&error);
                        let connector = tls.connector().map_err(with_prefix)?;
                        let encrypted = stream.into_rustls(&connector, &uri.authority.host);
                        let encrypted = encrypted.await.map_err(with_prefix)?;
                        progress.enter(Stage::Handshake);
                        Ok(encrypted)
                    }
                }
            },
            properties,
        )
        .await?;
        connected.enter(Stage::Channel);
        let asking = connection.create_channel().await?;
        Ok((connection, asking))
    }

    /// Makes sure, once for all connections, that the topology is there. An object whose queue does
    /// not answer keeps no connection from serving the others.
    async fn prepare(&self, connection: &Connection, progress: &Progress) -> Result<(), String> {
        progress.enter(Stage::Topology);
        let monitor = &self.options.monitor;
        if monitor.is_verified() {
            return Ok(());
        }
        let prepare = async {
            let _one_at_a_time = monitor.preparing.lock().await;
            if monitor.is_verified() {
                return Ok(());
            }
            let declare = self.options.declare;
            check::prepare(connection, &self.topology, declare, monitor).await
        };
        let prepared = tokio::time::timeout(PREPARE_TIMEOUT, prepare).await;
        prepared.unwrap_or_else(|_| Err(progress.hangs(PREPARE_TIMEOUT)))
    }

    /// Watches a session until its end; returns the reason.
    async fn watch(&self, session: &Arc<Session>, node: usize) -> String {
        let connection = self.role.as_str();
        let mut events = std::pin::pin!(session.connection.events_listener());
        tracing::info!(connection, "broker connected");
        self.state.send_replace(ConnectionState::Connected);
        self.session.send_replace(Some(Arc::clone(session)));
        let mut tick = tokio::time::interval(liveness::TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut liveness, mut question) = (Liveness::default(), None);
        loop {
            tokio::select! {
                biased;
                () = session.down.cancelled() => break,
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(connection, reason, "broker blocks publishers");
                        self.state.send_replace(ConnectionState::Blocked(reason));
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!(connection, "broker accepts messages again");
                        self.state.send_replace(ConnectionState::Connected);
                    }
                    // The broker has closed one channel: its user notices, and the others go on.
                    Some(Event::Error(error)) if error.is_amqp_soft_error() => {
                        session.channel_closed.send_replace(());
                    }
                    Some(Event::Error(error)) => session.fail(error.to_string()),
                    Some(_) => {}
                    None => session.fail("the connection's event stream ended"),
                },
                answered = answer(&mut question) => {
                    question = None;
                    if let Err(error) = answered {
                        session.fail(error.to_string());
                    }
                }
                _ = tick.tick() => {
                    if !session.connection.status().connected() {
                        session.fail("the connection is no longer open");
                    }
                    let next = liveness.tick(session.heard.take(), session.is_blocked());
                    session.doubtful.store(liveness.is_doubtful(), Ordering::Relaxed);
                    match next {
                        Next::Wait => {}
                        Next::Ask => _ = question.get_or_insert_with(|| ask(&session.asking)),
                        Next::Silent => {
                            self.options.monitor.nodes.silent(node, Instant::now());
                            session.fail("the broker does not answer");
                        }
                    }
                }
            }
        }
        self.session.send_replace(None);
        session.cut();
        session.fault.get().cloned().unwrap_or_default()
    }
}

type Question = BoxFuture<'static, lapin::Result<()>>;

/// Asks the node something that it answers by itself.
fn ask(channel: &Channel) -> Question {
    let channel = channel.clone();
    Box::pin(async move {
        channel
            .basic_qos(1, BasicQosOptions { global: false })
            .await
    })
}

async fn answer(question: &mut Option<Question>) -> lapin::Result<()> {
    match question {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}
