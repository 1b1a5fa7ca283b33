//! Resolves host names to addresses that the address guard (the SSRF guard) admits.
//!
//! The client dials exactly the addresses that are checked here, so a name cannot resolve to another
//! address between the check and the call.
//!
//! - `families.rs`: the questions for IPv4 and IPv6 addresses, and how long one waits for the other

mod families;

use crate::config::DispatcherConfig;
use delivery::{AllowList, FailedLookup, Guard, Outcome, Refusal};
use families::{Families, LookupError, Words, is_negative};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name as DnsName, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use hyper_util::client::legacy::connect::dns::Name;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tower_service::Service;

/// The resolver itself is checked at most this often, however many names fail.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// For one name, including a second try after a lost packet. Shorter than the connect timeout, or a
/// silent resolver would look like a silent target and callbacks would spend attempts on it.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of answers in the cache, each for its time to live. A name has two.
const MAX_CACHED_ANSWERS: u64 = 20_000;

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("the name does not exist or has no address")]
    NotFound,
    #[error("the name could not be resolved: {0} ({1})")]
    Unresolved(FailedLookup, Words),
    #[error("the resolver does not answer ({0})")]
    ResolverDown(Words),
}

/// Why a host cannot be called.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<&ResolveError> for Outcome {
    fn from(error: &ResolveError) -> Self {
        match error {
            ResolveError::Name(NameError::NotFound) => Self::NameNotFound,
            ResolveError::Name(NameError::Unresolved(failed, _)) => Self::NameUnresolved(*failed),
            ResolveError::Name(NameError::ResolverDown(_)) => Self::ResolverDown,
            ResolveError::Refused(refusal) => Self::AddressRefused(*refusal),
        }
    }
}

/// Which addresses of a name may be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddressPolicy {
    /// A caller's URL: the guard must admit every address, or none is dialled.
    Guarded(Arc<Guard>),
    /// A registered callee: the operator's URL is trusted. With an allow list, every address must
    /// be on it.
    Registered(Option<Arc<AllowList>>),
}

/// The resolver with its cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Resolver(Arc<ResolverState>);

struct ResolverState {
    families: Families,
    /// The domains in which a registered callee's short name is looked for, and the number of dots from
    /// which on the name itself comes first (`resolv.conf`).
    search: Vec<DnsName>,
    ndots: usize,
    /// The same servers without a cache: a cached answer does not prove that they are up.
    uncached: TokioResolver,
    lookup_timeout: Duration,
    /// When the servers were last checked, and whether they were up. One task checks, the others
    /// wait for its result.
    last_check: Mutex<Option<(Instant, bool)>>,
}

/// The addresses that the host of a caller's URL resolves to, as in an attempt but without the
/// guard. Call it inside a Tokio runtime.
///
/// # Errors
/// Why there are none, in a sentence without a full stop.
pub async fn addresses_of(config: &DispatcherConfig, host: &str) -> Result<Vec<IpAddr>, String> {
    let resolver = Resolver::new(&config.dns_servers, config.connect_timeout);
    let resolver = resolver.map_err(|error| format!("the resolver cannot be built: {error}"))?;
    let callers = AddressPolicy::Guarded(Arc::default());
    let found = resolver.resolve(host, &callers).await;
    found.map_err(|error| error.to_string())
}

/// The resolver under one address policy, in the form that the HTTP client needs.
#[derive(Clone)]
pub(crate) struct GuardedResolver {
    resolver: Resolver,
    policy: AddressPolicy,
}

impl Resolver {
    /// A resolver that asks `servers`, or the system's when there are none. It answers well before
    /// `connect_timeout`, which starts with the lookup.
    pub(crate) fn new(servers: &[SocketAddr], connect_timeout: Duration) -> Result<Self, NetError> {
        let lookup_timeout = LOOKUP_TIMEOUT.min(connect_timeout * 2 / 3);
        let (config, options) = if servers.is_empty() {
            read_system_conf()?
        } else {
            let servers = servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            (config, ResolverOpts::default())
        };
        let cached = build(&config, &options, lookup_timeout, MAX_CACHED_ANSWERS)?;
        Ok(Self(Arc::new(ResolverState {
            families: Families::new(cached, lookup_timeout),
            search: config
                .domain()
                .into_iter()
                .chain(config.search())
                .cloned()
                .collect(),
            ndots: options.ndots,
            uncached: build(&config, &options, lookup_timeout, 0)?,
            lookup_timeout,
            last_check: Mutex::new(None),
        })))
    }

    pub(crate) fn guarded(&self, policy: AddressPolicy) -> GuardedResolver {
        GuardedResolver {
            resolver: self.clone(),
            policy,
        }
    }

    /// The admitted addresses of a host.
    ///
    /// # Errors
    /// The name has none, the resolver is down, or the guard refuses one.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        policy: &AddressPolicy,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        let addresses = self.resolve(host, policy).await?;
        policy.admit(host, &addresses)?;
        Ok(addresses)
    }

    async fn resolve(&self, host: &str, policy: &AddressPolicy) -> Result<Vec<IpAddr>, NameError> {
        // Names in callers' URLs are public: no search domain is tried.
        let rooted = match policy {
            AddressPolicy::Guarded(_) if !host.ends_with('.') => format!("{host}."),
            AddressPolicy::Guarded(_) | AddressPolicy::Registered(_) => host.to_owned(),
        };
        let Ok(name) = DnsName::from_utf8(&rooted) else {
            return Err(NameError::NotFound);
        };
        let deadline = tokio::time::Instant::now() + self.0.lookup_timeout;
        let mut failed = None;
        // The first name that has addresses counts, and both families are of that name.
        for name in names_to_try(&name, &self.0.search, self.0.ndots) {
            match self.0.families.lookup(&name, deadline).await {
                Ok(addresses) => return Ok(addresses),
                Err(LookupError::NotFound) => {}
                Err(LookupError::Failed(lookup, words)) => failed = Some((lookup, words)),
            }
        }
        match failed {
            None => Err(NameError::NotFound),
            // A timeout, or a server failure: many resolvers report their own outage that way.
            Some((lookup, words)) => Err(self.0.classify_failure(lookup, words).await),
        }
    }
}

/// An absolute name alone; a relative one in each search domain, and as it is: first if it has so many
/// dots, otherwise last.
fn names_to_try(name: &DnsName, search: &[DnsName], ndots: usize) -> Vec<DnsName> {
    if name.is_fqdn() {
        return vec![name.clone()];
    }
    let mut absolute = name.clone();
    absolute.set_fqdn(true);
    let in_domains = search
        .iter()
        .map(|domain| name.clone().append_domain(domain));
    let mut names: Vec<DnsName> = in_domains.filter_map(Result::ok).collect();
    let is_first = usize::from(name.num_labels()) > ndots || name.is_localhost();
    names.insert(if is_first { 0 } else { names.len() }, absolute);
    names.dedup();
    names
}

impl ResolverState {
    /// Distinguishes a failing name from a failing resolver: one that cannot look up the root is down
    /// for all names.
    async fn classify_failure(&self, failed: FailedLookup, words: Words) -> NameError {
        // Held across the check, on the failing path only: concurrent failures share one check.
        let mut last_check = self.last_check.lock().await;
        let is_up = match *last_check {
            Some((at, is_up)) if at.elapsed() < HEALTH_CHECK_INTERVAL => is_up,
            Some(_) | None => {
                let root = self.uncached.lookup(DnsName::root(), RecordType::NS);
                let is_up = match tokio::time::timeout(self.lookup_timeout, root).await {
                    Ok(Ok(_)) => true,
                    Ok(Err(error)) => is_negative(&error),
                    Err(_) => false,
                };
                *last_check = Some((Instant::now(), is_up));
                is_up
            }
        };
        if is_up {
            NameError::Unresolved(failed, words)
        } else {
            NameError::ResolverDown(words)
        }
    }
}

impl AddressPolicy {
    /// One refused address refuses the name: a mixed answer is a sign of DNS rebinding.
    fn admit(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Refusal> {
        let mut addresses = addresses.iter();
        match self {
            Self::Guarded(guard) => addresses.try_for_each(|address| guard.admit(host, *address)),
            Self::Registered(Some(allowed)) => {
                addresses.try_for_each(|address| allowed.admit(host, *address))
            }
            Self::Registered(None) => Ok(()),
        }
    }
}

impl Service<Name> for GuardedResolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Resolving;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Resolving {
        let (resolver, policy) = (self.resolver.clone(), self.policy.clone());
        Box::pin(async move {
            let addresses = resolver.addresses(name.as_str(), &policy).await?;
            // The client replaces port 0 by the URL's.
            let sockets = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(sockets.collect::<Vec<_>>().into_iter())
        })
    }
}

type Resolving =
    Pin<Box<dyn Future<Output = Result<std::vec::IntoIter<SocketAddr>, ResolveError>> + Send>>;

fn build(
    config: &ResolverConfig,
    options: &ResolverOpts,
    lookup_timeout: Duration,
    cache_size: u64,
) -> Result<TokioResolver, NetError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = TokioResolver::builder_with_config(config.clone(), provider);
    *builder.options_mut() = options.clone();
    let options = builder.options_mut();
    options.timeout = lookup_timeout / 2;
    options.attempts = 1; // In addition to the first.
    options.cache_size = cache_size;
    builder.build()
}

fn name_server(socket: &SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(socket.ip());
    for connection in &mut server.connections {
        connection.port = socket.port();
    }
    server
}

#[cfg(test)]
mod tests;
