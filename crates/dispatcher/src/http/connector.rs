//! Opens connections to targets: to admitted addresses only, within the connect timeout.

use crate::http::dns::GuardedResolver;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tower_service::Service;

/// How long a silent connection lives before the system probes it, and between probes.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;

/// Opens connections with or without TLS.
#[derive(Clone)]
pub(crate) struct Connector {
    inner: HttpsConnector<HttpConnector<GuardedResolver>>,
    timeout: Duration,
}

/// The connection was not established within the timeout, TLS included.
#[derive(Debug, thiserror::Error)]
#[error("the connection was not established in time")]
pub(crate) struct ConnectTimeout;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A connection to a target.
pub(crate) struct TargetStream {
    inner: MaybeHttpsStream<TokioIo<TcpStream>>,
    cut_off: CutOff,
}

/// Ends a connection at its next read or write. A target that floods one costs its whole task otherwise,
/// which hears late that nobody waits for the answer any more; one that reads nothing would keep it in
/// its last write or its close. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct CutOff(Arc<AtomicBool>);

impl CutOff {
    /// The next read or write fails.
    pub(crate) fn now(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Acquire) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }
}

impl TargetStream {
    pub(crate) fn cut_off(&self) -> CutOff {
        self.cut_off.clone()
    }
}

impl Connector {
    pub(crate) fn new(resolver: GuardedResolver, tls: ClientConfig, timeout: Duration) -> Self {
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_keepalive(Some(KEEPALIVE));
        http.set_keepalive_interval(Some(KEEPALIVE));
        http.set_keepalive_retries(Some(KEEPALIVE_PROBES));
        Self {
            inner: HttpsConnector::from((http, tls)),
            timeout,
        }
    }

    /// Connects to the host of `target`, of which only scheme, host and port matter.
    ///
    /// # Errors
    /// Why there is no connection: [`ConnectTimeout`], a refusal of the guard, or an error of the
    /// system.
    pub(crate) async fn connect(&self, target: Uri) -> Result<TargetStream, BoxError> {
        let mut connector = self.inner.clone();
        let connecting = async {
            poll_fn(|context| connector.poll_ready(context)).await?;
            connector.call(target).await
        };
        match tokio::time::timeout(self.timeout, connecting).await {
            Ok(connected) => Ok(TargetStream {
                inner: connected?,
                cut_off: CutOff::default(),
            }),
            Err(_) => Err(ConnectTimeout.into()),
        }
    }
}

impl Read for TargetStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.cut_off.check()?;
        Pin::new(&mut stream.inner).poll_read(context, buffer)
    }
}

impl Write for TargetStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        stream.cut_off.check()?;
        Pin::new(&mut stream.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        stream.cut_off.check()?;
        Pin::new(&mut stream.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.cut_off.check()?;
        Pin::new(&mut stream.inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.cut_off.check()?;
        Pin::new(&mut stream.inner).poll_shutdown(context)
    }
}
