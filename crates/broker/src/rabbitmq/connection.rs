//! One supervised connection to RabbitMQ.
//!
//! A task connects, prepares the topology and watches the connection; on any fault it drops the
//! connection and starts again, without end. lapin's own recovery is not used: it gives up after
//! some attempts and was the source of its last ten bugs.

use super::options::RabbitMqOptions;
use super::reconnect::Reconnect;
use super::tls;
use super::topology::objects::Topology;
use crate::state::ConnectionState;
use futures_util::StreamExt as _;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties, Event};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// For connecting, authenticating and preparing the topology. Declaring a quorum queue takes some
/// time on a cluster.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How often the connection's status is checked, in case no event reports its end.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionRole {
    Publish,
    Consume,
}

impl ConnectionRole {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        }
    }
}

/// A supervised connection. Cheap to clone; ended by [`ManagedConnection::close`].
#[derive(Clone, Debug)]
pub(super) struct ManagedConnection {
    session: watch::Receiver<Option<Arc<Session>>>,
    state: watch::Receiver<ConnectionState>,
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
}

impl Session {
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

impl Supervisor {
    async fn run(self) {
        let mut reconnect = Reconnect::new();
        let mut was_connected = false;
        loop {
            let reason = tokio::select! {
                () = self.stop.cancelled() => return,
                connected = self.connect() => match connected {
                    Ok(session) => {
                        was_connected = true;
                        reconnect.connected(Instant::now());
                        match self.watch(&session).await {
                            Some(reason) => reason,
                            None => return,
                        }
                    }
                    Err(reason) => reason,
                },
            };
            let wait = reconnect.next_wait(Instant::now());
            tracing::warn!(
                connection = self.role.as_str(),
                reason,
                wait_ms = wait.as_millis(),
                "broker connection down; trying again"
            );
            self.state.send_replace(if was_connected {
                ConnectionState::Disconnected(reason)
            } else {
                ConnectionState::NeverConnected(reason)
            });
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn connect(&self) -> Result<Arc<Session>, String> {
        let socket = Arc::new(OnceLock::<TcpStream>::new());
        let connected =
            tokio::time::timeout(CONNECT_TIMEOUT, self.open_connection(Arc::clone(&socket))).await;
        let connection = match connected {
            Ok(Ok(connection)) => connection,
            failed => {
                if let Some(socket) = socket.get() {
                    let _ = socket.shutdown(Shutdown::Both);
                }
                return Err(match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
                });
            }
        };
        Ok(Arc::new(Session {
            connection,
            down: CancellationToken::new(),
            fault: OnceLock::new(),
            socket,
            state: self.state.clone(),
        }))
    }

    /// Connects and prepares the topology. Puts a second handle of the socket into `socket`, which
    /// is the only way to shut it down later.
    async fn open_connection(&self, socket: Arc<OnceLock<TcpStream>>) -> lapin::Result<Connection> {
        let options = &self.options;
        let tls = options.tls.clone();
        let name = format!("{} {}", options.connection_name, self.role.as_str());
        let properties = ConnectionProperties::default().with_connection_name(name.as_str().into());
        let connection = Connection::connector(
            options.uri.clone(),
            lapin::runtime::default_runtime()?,
            async move |uri: AMQPUri, runtime| {
                let address = (uri.authority.host.clone(), uri.authority.port);
                let address = runtime.to_socket_addrs(address);
                let stream = AsyncTcpStream::connect(&runtime, address).await?;
                if let AsyncTcpStream::Plain(plain) = &stream {
                    let _ = socket.set(plain.get_ref().as_fd().try_clone_to_owned()?.into());
                }
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => {
                        let with_prefix = |error: io::Error| tls::with_prefix(&error);
                        let connector = tls.connector().map_err(with_prefix)?;
                        let encrypted = stream.into_rustls(&connector, &uri.authority.host);
                        Ok(encrypted.await.map_err(with_prefix)?)
                    }
                }
            },
            properties,
        )
        .await?;
        let channel = connection.create_channel().await?;
        if options.declare {
            self.topology.declare(&channel).await?;
        } else {
            self.topology.check(&channel).await?;
        }
        channel.close(200, "OK".into()).await?;
        Ok(connection)
    }

    /// Whether an error ends the session. On the consuming connection the end of a channel does,
    /// because a busy consumer may not notice the end of its channel. On the publishing connection
    /// each channel's task notices it at once and knows whether it matters: without the permission
    /// to listen for replies, publishing goes on.
    fn is_fault(&self, error: &lapin::Error) -> bool {
        match self.role {
            ConnectionRole::Consume => true,
            ConnectionRole::Publish => !error.is_amqp_soft_error(),
        }
    }

    /// Watches a session. Returns the reason of its end, or `None` when it was closed on purpose.
    async fn watch(&self, session: &Arc<Session>) -> Option<String> {
        let connection = self.role.as_str();
        let mut events = std::pin::pin!(session.connection.events_listener());
        tracing::info!(connection, "broker connected");
        self.state.send_replace(ConnectionState::Connected);
        self.session.send_replace(Some(Arc::clone(session)));
        let mut status_interval = tokio::time::interval(STATUS_INTERVAL);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    session.down.cancel();
                    self.session.send_replace(None);
                    let close = session.connection.close(200, "OK".into());
                    if !matches!(tokio::time::timeout(CLOSE_TIMEOUT, close).await, Ok(Ok(()))) {
                        session.cut();
                    }
                    return None;
                }
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
                    Some(Event::Error(error)) => if self.is_fault(&error) {
                        session.fail(error.to_string());
                    },
                    Some(_) => {}
                    None => session.fail("the connection's event stream ended"),
                },
                _ = status_interval.tick() => if !session.connection.status().connected() {
                    session.fail("the connection is no longer open");
                },
            }
        }
        self.session.send_replace(None);
        session.cut();
        Some(session.fault.get().cloned().unwrap_or_default())
    }
}
