//! HTTP clients with their connection pools.
//!
//! Connections are shared only under one address policy and one TLS profile: a connection to an
//! operator's internal callee must never serve a caller's URL at the same host, and one with a
//! client certificate must never serve a callee without it.

use crate::config::DispatcherConfig;
use crate::http::connector::Connector;
use crate::http::dns::{AddressPolicy, Resolver};
use crate::http::tls::TlsProfile;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::Duration;

/// The largest head of a response. It is also what is read at a time: a connection parses up to 128
/// times as much before it notices that its request was given up.
const MAX_HEAD_BYTES: usize = 32 * 1024;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A client, and the address policy and TLS profile under which all its connections are opened.
pub(crate) struct HttpClient {
    pub(crate) inner: Client<Connector, Full<Bytes>>,
    pub(crate) address_policy: AddressPolicy,
    pub(crate) tls: TlsProfile,
}

/// Builds clients.
pub(crate) struct ClientFactory {
    resolver: Resolver,
    max_idle_per_host: usize,
    connect_timeout: Duration,
}

impl ClientFactory {
    pub(crate) fn new(config: &DispatcherConfig, resolver: Resolver) -> Self {
        let first = usize::from(config.first_concurrency);
        Self {
            resolver,
            max_idle_per_host: first + usize::from(config.retry_concurrency),
            connect_timeout: config.connect_timeout,
        }
    }

    /// A new client without connections. It follows no redirect and uses no proxy.
    ///
    /// # Errors
    /// When the TLS profile cannot be used.
    pub(crate) fn build(
        &self,
        address_policy: AddressPolicy,
        tls: TlsProfile,
    ) -> Result<Arc<HttpClient>, rustls::Error> {
        let resolver = self.resolver.guarded(address_policy.clone());
        let connector = Connector::new(resolver, tls.client_config()?, self.connect_timeout);
        let inner = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(self.max_idle_per_host)
            .http1_max_buf_size(MAX_HEAD_BYTES)
            .build(connector);
        Ok(Arc::new(HttpClient {
            inner,
            address_policy,
            tls,
        }))
    }
}
