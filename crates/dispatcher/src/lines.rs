//! Over which connections is a target called?
//!
//! A pool is shared only under one guard policy and one TLS profile: a pooled connection that was
//! opened to an operator's internal callee must never serve a caller's URL to the same host, nor
//! one that was opened with a client certificate anybody without it.

use crate::resolve::{Names, Policy};
use crate::tls::Tls;
use boot::settings::DispatcherSettings;
use reqwest::{Client, ClientBuilder};
use std::sync::Arc;
use std::time::Duration;

const IDLE_WITHIN: Duration = Duration::from_secs(30);

/// A client and the policy and TLS under which all its connections were opened.
pub(crate) struct Line {
    pub(crate) client: Client,
    pub(crate) policy: Policy,
    pub(crate) tls: Tls,
}

/// Makes lines.
pub(crate) struct Lines {
    names: Names,
    idle: usize,
    connect_timeout: Duration,
}

impl Lines {
    pub(crate) fn new(settings: &DispatcherSettings, names: Names) -> Self {
        Self {
            names,
            idle: usize::from(settings.first_slots) + usize::from(settings.retry_slots),
            connect_timeout: settings.connect_timeout,
        }
    }

    /// A new line, with no connections yet.
    pub(crate) fn line(&self, policy: Policy, tls: Tls) -> reqwest::Result<Arc<Line>> {
        let client = tls.apply(self.client(&policy))?.build()?;
        Ok(Arc::new(Line {
            client,
            policy,
            tls,
        }))
    }

    fn client(&self, policy: &Policy) -> ClientBuilder {
        Client::builder()
            .dns_resolver(Arc::new(self.names.under(policy.clone())))
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE_WITHIN)
            .pool_max_idle_per_host(self.idle)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // A silent second request would be a repeat that nobody has counted.
            // With none allowed it also keeps no copy to repeat.
            .retry(reqwest::retry::never().max_retries_per_request(0))
    }
}
