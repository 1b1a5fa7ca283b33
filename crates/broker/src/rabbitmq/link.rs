//! How does one connection to RabbitMQ stay up?
//!
//! A link is a task that connects, prepares the topology, watches, and on any fault drops the
//! connection and begins again, for ever. lapin's own recovery is not used: it gives up after some
//! attempts and was the source of its last ten bugs.

use super::reconnect::Reconnect;
use super::topology::Topology;
use super::{Settings, tls};
use crate::State;
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

/// To connect, authenticate and prepare the topology. A quorum queue takes some time to declare on a
/// cluster.
const CONNECT_WITHIN: Duration = Duration::from_secs(20);
/// Whether the connection still stands is asked this often, should no event say so.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Publish,
    Consume,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Consume => "consume",
        }
    }
}

/// A supervised connection. Cheap to clone; it ends by [`Link::close`].
#[derive(Clone, Debug)]
pub(super) struct Link {
    live: watch::Receiver<Option<Arc<Live>>>,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    ended: CancellationToken,
}

/// A connection that stands.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) connection: Connection,
    /// Cancelled when this connection is given up, by whoever sees the fault first.
    pub(super) down: CancellationToken,
    fault: OnceLock<String>,
    socket: Arc<OnceLock<TcpStream>>,
    state: watch::Sender<State>,
}

impl Live {
    /// Gives this connection up: the link drops it and makes a new one.
    pub(super) fn fault(&self, reason: impl Into<String>) {
        // The first reason is the cause; what follows is its consequence.
        let _ = self.fault.set(reason.into());
        self.down.cancel();
    }

    /// Whether the broker takes no messages now.
    pub(super) fn blocked(&self) -> bool {
        matches!(*self.state.borrow(), State::Blocked(_))
    }

    /// Cuts the socket, so that nothing still buffered is written after this moment.
    fn cut(&self) {
        if let Some(socket) = self.socket.get() {
            // An error here means that the peer was faster.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Link {
    /// Starts the task that keeps a connection up.
    pub(super) fn start(
        settings: Arc<Settings>,
        topology: Arc<Topology>,
        purpose: Purpose,
    ) -> Self {
        let (live_sender, live) = watch::channel(None);
        let (state_sender, state) = watch::channel(State::NeverConnected(String::new()));
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let keeper = Keeper {
            settings,
            topology,
            purpose,
            live: live_sender,
            state: state_sender,
            stop: stop.clone(),
        };
        let end = ended.clone().drop_guard();
        tokio::spawn(async move {
            keeper.keep_up().await;
            drop(end);
        });
        Self {
            live,
            state,
            stop,
            ended,
        }
    }

    /// The connection, as soon as there is one; `None` once the link is closed.
    pub(super) async fn up(&self) -> Option<Arc<Live>> {
        let mut live = self.live.clone();
        let standing =
            |live: &Option<Arc<Live>>| live.as_ref().is_some_and(|it| !it.down.is_cancelled());
        tokio::select! {
            live = live.wait_for(standing) => live.ok()?.clone(),
            () = self.stop.cancelled() => None,
        }
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Ends the connection with the proper farewell.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.ended.cancelled().await;
    }
}

/// What the link's task owns.
struct Keeper {
    settings: Arc<Settings>,
    topology: Arc<Topology>,
    purpose: Purpose,
    live: watch::Sender<Option<Arc<Live>>>,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

impl Keeper {
    async fn keep_up(self) {
        let mut reconnect = Reconnect::new();
        let mut ever = false;
        loop {
            let reason = tokio::select! {
                () = self.stop.cancelled() => return,
                connected = self.connect() => match connected {
                    Ok(live) => {
                        ever = true;
                        reconnect.up(Instant::now());
                        match self.watch(&live).await {
                            Some(reason) => reason,
                            None => return,
                        }
                    }
                    Err(reason) => reason,
                },
            };
            let wait = reconnect.wait(Instant::now());
            tracing::warn!(
                connection = self.purpose.as_str(),
                reason,
                wait_ms = wait.as_millis(),
                "broker connection down; trying again"
            );
            self.state.send_replace(if ever {
                State::Disconnected(reason)
            } else {
                State::NeverConnected(reason)
            });
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn connect(&self) -> Result<Arc<Live>, String> {
        let socket = Arc::new(OnceLock::<TcpStream>::new());
        let (kept, tls) = (Arc::clone(&socket), self.settings.tls.clone());
        let connecting = async {
            let name = format!(
                "{} {}",
                self.settings.connection_name,
                self.purpose.as_str()
            );
            let properties =
                ConnectionProperties::default().with_connection_name(name.as_str().into());
            let connection = Connection::connector(
                self.settings.uri.clone(),
                lapin::runtime::default_runtime()?,
                async move |uri: AMQPUri, runtime| {
                    let address = (uri.authority.host.clone(), uri.authority.port);
                    let address = runtime.to_socket_addrs(address);
                    let stream = AsyncTcpStream::connect(&runtime, address).await?;
                    if let AsyncTcpStream::Plain(plain) = &stream {
                        // A second handle on the socket is the only way to cut it.
                        let _ = kept.set(plain.get_ref().as_fd().try_clone_to_owned()?.into());
                    }
                    match uri.scheme {
                        AMQPScheme::AMQP => Ok(stream),
                        AMQPScheme::AMQPS => {
                            let named = |error: io::Error| tls::named(&error);
                            let connector = tls.connector().map_err(named)?;
                            let encrypted = stream.into_rustls(&connector, &uri.authority.host);
                            Ok(encrypted.await.map_err(named)?)
                        }
                    }
                },
                properties,
            )
            .await?;
            let channel = connection.create_channel().await?;
            if self.settings.declare {
                self.topology.declare(&channel).await?;
            } else {
                self.topology.check(&channel).await?;
            }
            channel.close(200, "OK".into()).await?;
            Ok::<_, lapin::Error>(connection)
        };
        let connected = tokio::time::timeout(CONNECT_WITHIN, connecting).await;
        let connection = match connected {
            Ok(Ok(connected)) => connected,
            failed => {
                if let Some(socket) = socket.get() {
                    let _ = socket.shutdown(Shutdown::Both);
                }
                return Err(match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => format!("no connection within {} s", CONNECT_WITHIN.as_secs()),
                });
            }
        };
        Ok(Arc::new(Live {
            connection,
            down: CancellationToken::new(),
            fault: OnceLock::new(),
            socket,
            state: self.state.clone(),
        }))
    }

    /// Whether an error ends the connection. The end of a channel does where a consumer may be too
    /// busy to see its own. Where we publish, each channel's task sees it at once and knows whether
    /// it matters: that nobody may listen for replies is no reason to stop publishing.
    fn is_fault(&self, error: &lapin::Error) -> bool {
        self.purpose == Purpose::Consume || !error.is_amqp_soft_error()
    }

    /// Watches a standing connection. Returns why it fell, or `None` when it was closed on purpose.
    async fn watch(&self, live: &Arc<Live>) -> Option<String> {
        let mut events = std::pin::pin!(live.connection.events_listener());
        tracing::info!(connection = self.purpose.as_str(), "broker connected");
        self.state.send_replace(State::Connected);
        self.live.send_replace(Some(Arc::clone(live)));
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    live.down.cancel();
                    self.live.send_replace(None);
                    let farewell = live.connection.close(200, "OK".into());
                    if !matches!(tokio::time::timeout(CLOSE_WITHIN, farewell).await, Ok(Ok(()))) {
                        live.cut();
                    }
                    return None;
                }
                () = live.down.cancelled() => break,
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(reason)) => {
                        tracing::warn!(connection = self.purpose.as_str(), reason, "broker blocks publishers");
                        self.state.send_replace(State::Blocked(reason));
                    }
                    Some(Event::ConnectionUnblocked) => {
                        tracing::info!(connection = self.purpose.as_str(), "broker takes messages again");
                        self.state.send_replace(State::Connected);
                    }
                    Some(Event::Error(error)) => if self.is_fault(&error) {
                        live.fault(error.to_string());
                    },
                    Some(_) => {}
                    None => live.fault("the connection's events ended"),
                },
                _ = look.tick() => if !live.connection.status().connected() {
                    live.fault("the connection is no longer open");
                },
            }
        }
        self.live.send_replace(None);
        live.cut();
        Some(live.fault.get().cloned().unwrap_or_default())
    }
}
