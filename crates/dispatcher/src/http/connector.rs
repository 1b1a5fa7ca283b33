//! Opens connections to targets: to admitted addresses only, within the connect timeout.

use crate::http::dns::GuardedResolver;
use hyper::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
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

type BoxError = Box<dyn Error + Send + Sync>;
type Connecting =
    Pin<Box<dyn Future<Output = Result<MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>> + Send>>;

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
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, target: Uri) -> Connecting {
        let connecting = tokio::time::timeout(self.timeout, self.inner.call(target));
        Box::pin(async move {
            connecting
                .await
                .unwrap_or_else(|_| Err(ConnectTimeout.into()))
        })
    }
}
