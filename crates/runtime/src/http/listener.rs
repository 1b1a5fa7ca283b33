//! Binds an address and serves an actix application on it.

use std::fmt;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{HttpService, KeepAlive, Request, Response};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Server};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use super::connections::Connections;
use super::hold_body::PIECE_BYTES;
use super::limits::HttpLimits;
use super::options::{Audience, ServeOptions};
use super::stream::{BoundedStream, StreamTimeouts};

/// How long idle connections are kept. Longer than the usual load balancer's 60 s, so that the
/// balancer closes first and never writes a request into a closing connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The maximum number of connections that wait to be accepted.
const ACCEPT_BACKLOG: u32 = 1024;

/// How long a connection may take to close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The size of the kernel's buffers of a connection, which Linux doubles. Set, they do not grow: up
/// to 6 MiB of what a client sends, and 4 MiB of what it does not read, would be kept for it.
const SOCKET_BUFFER_BYTES: u32 = 64 * 1024;

/// How many accepted connections may wait for a worker beyond the cap of the listener.
const ACCEPTED_AHEAD: usize = 16;

/// Listens on `address`. Returns the listener with the bound address: port 0 requests a free one.
/// Call it inside a Tokio runtime.
///
/// # Errors
/// When the address cannot be bound, with a sentence that names it.
pub fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let bound = bind(address).and_then(|listener| {
        let local = listener.local_addr()?;
        Ok((listener, local))
    });
    bound.map_err(|error| cannot_listen(address, &error))
}

/// The error of an address that cannot be bound, as one sentence that names it.
pub fn cannot_listen(address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restarted process can bind the port of the one that has just ended.
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit these.
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)?.into_std()
}

/// Serves the applications that `app` builds, one per worker, with bounded connections. Each must
/// wrap itself in [`hold_body`](super::hold_body()).
///
/// `stop` ends idle connections; the caller stops the server by its handle.
///
/// # Errors
/// When the listener cannot be registered.
pub fn serve<F, I, S, B>(
    listener: TcpListener,
    options: ServeOptions,
    limits: &HttpLimits,
    stop: CancellationToken,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Response<BoxBody>> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    S::Service: 'static,
    <S::Service as Service<Request>>::Future: 'static,
    B: MessageBody + 'static,
{
    let (connections, max_connections) = limits.connections(&options);
    let (keep_alive, timeouts) = match options.audience {
        Audience::Callers | Audience::Operators => (KeepAlive::Timeout(KEEP_ALIVE), true),
        Audience::Practice => (KeepAlive::Os, false),
    };
    let timeouts = StreamTimeouts {
        first_head: timeouts,
        body: options.body_timeout,
    };
    // What actix's `HttpServer` does, but over `BoundedStream`: it serves plain TCP streams only.
    let heartbeats = limits.heartbeats().clone();
    let service = move || {
        // Called once on each worker, in its runtime.
        actix_web::rt::spawn(heartbeats.join());
        let (stop, connections) = (stop.clone(), Arc::clone(&connections));
        let http = HttpService::build()
            .keep_alive(keep_alive)
            .client_request_timeout(Duration::ZERO) // The stream has its own, for every head.
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            .h1_write_buffer_size(PIECE_BYTES)
            // Do not wait for a client that has hung up.
            .h1_allow_half_closed(false)
            .graceful_shutdown_signal(move || stop.clone().cancelled_owned())
            .on_connect_ext(|stream: &BoundedStream, extensions| {
                extensions.insert(stream.tracker());
            })
            .h1(map_config(app(), |()| AppConfig::default()));
        fn_service(move |stream: TcpStream| ready(accept(stream, timeouts, &connections)))
            .and_then(http)
    };
    let mut server = Server::build()
        .shutdown_timeout(options.shutdown_timeout.as_secs())
        .disable_signals();
    let workers = match options.workers {
        0 => available_parallelism().map_or(1, NonZero::get),
        workers => workers,
    };
    // Beyond this the acceptor waits, so that a flood cannot take the process's files.
    let each = max_connections.div_ceil(workers) + ACCEPTED_AHEAD;
    server = server.workers(workers).max_concurrent_connections(each);
    Ok(server.listen(options.name, listener, service)?.run())
}

/// Admits an accepted connection.
fn accept(
    stream: TcpStream,
    timeouts: StreamTimeouts,
    connections: &Arc<Connections>,
) -> Result<(BoundedStream, Option<SocketAddr>), DispatchError> {
    let peer = stream.peer_addr().ok();
    match connections.open(peer.map(|peer| peer.ip())) {
        Ok(connection) => Ok((BoundedStream::new(stream, timeouts, connection), peer)),
        Err(_) => Err(DispatchError::Io(io::ErrorKind::ConnectionAborted.into())),
    }
}
