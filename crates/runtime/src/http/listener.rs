//! Binds an address and serves an actix application on it.

use std::fmt;
use std::future::ready;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_http::{HttpService, Request, Response};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt as _, fn_service, map_config,
};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Server};
use tokio::net::{TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;

use super::head_timeout::{HEAD_TIMEOUT, TimedStream};

/// How long idle connections are kept. Longer than the usual load balancer's 60 s, so that the
/// balancer closes first and never writes a request into a closing connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// The maximum number of connections that wait to be accepted.
const ACCEPT_BACKLOG: u32 = 1024;

/// How long a connection may take to close.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How an application is served.
#[derive(Clone, Copy, Debug)]
pub struct ServeOptions {
    /// The name of the listener, for the server's log.
    pub name: &'static str,
    /// How many worker threads serve it. 0: one per core.
    pub workers: usize,
    /// How long a graceful stop waits for requests in progress.
    pub shutdown_timeout: Duration,
}

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
    socket.bind(address)?;
    socket.listen(ACCEPT_BACKLOG)?.into_std()
}

/// Serves the applications that `app` builds, one per worker. Each must wrap itself in
/// [`hold_body`](super::hold_body()).
///
/// `stop` ends idle connections; the caller stops the server by its handle.
///
/// # Errors
/// When the listener cannot be registered.
pub fn serve<F, I, S, B>(
    listener: TcpListener,
    options: ServeOptions,
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
    // What actix's `HttpServer` does, but over `TimedStream`: it serves plain TCP streams only.
    let service = move || {
        let stop = stop.clone();
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(DISCONNECT_TIMEOUT)
            // Do not wait for a client that has hung up.
            .h1_allow_half_closed(false)
            .graceful_shutdown_signal(move || stop.clone().cancelled_owned())
            .on_connect_ext(|stream: &TimedStream, extensions| {
                extensions.insert(stream.tracker());
            })
            .h1(map_config(app(), |()| AppConfig::default()));
        fn_service(|stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            ready(Ok((TimedStream::new(stream), peer)))
        })
        .and_then(http)
    };
    let mut server = Server::build()
        .shutdown_timeout(options.shutdown_timeout.as_secs())
        .disable_signals();
    if options.workers > 0 {
        server = server.workers(options.workers);
    }
    Ok(server.listen(options.name, listener, service)?.run())
}
