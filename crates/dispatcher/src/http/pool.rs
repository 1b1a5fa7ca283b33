//! HTTP clients with their connection pools.
//!
//! Connections are shared only under one address policy and one TLS profile: a connection to an
//! operator's internal callee must never serve a caller's URL at the same host, and one with a
//! client certificate must never serve a callee without it.

use crate::config::DispatcherConfig;
use crate::http::dns::{AddressPolicy, Resolver};
use crate::http::tls::TlsProfile;
use reqwest::{Client, ClientBuilder};
use std::sync::Arc;
use std::time::Duration;

const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A client, and the address policy and TLS profile under which all its connections are opened.
pub(crate) struct HttpClient {
    pub(crate) inner: Client,
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

    /// A new client without connections.
    pub(crate) fn build(
        &self,
        address_policy: AddressPolicy,
        tls: TlsProfile,
    ) -> reqwest::Result<Arc<HttpClient>> {
        let inner = tls.apply(self.builder(&address_policy))?.build()?;
        Ok(Arc::new(HttpClient {
            inner,
            address_policy,
            tls,
        }))
    }

    fn builder(&self, address_policy: &AddressPolicy) -> ClientBuilder {
        Client::builder()
            .dns_resolver(Arc::new(self.resolver.guarded(address_policy.clone())))
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(self.max_idle_per_host)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // A hidden retry would be an uncounted attempt. Without retries the client also keeps no
            // copy of the request.
            .retry(reqwest::retry::never().max_retries_per_request(0))
    }
}
