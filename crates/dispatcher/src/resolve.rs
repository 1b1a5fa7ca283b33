//! Which addresses does a name stand for, and may they be called?
//!
//! The client dials the very addresses that are vetted here, so that a name cannot point elsewhere
//! between the look and the call.

use boot::settings::DispatcherSettings;
use delivery::{AllowList, Guard, Outcome, Refusal};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::DnsError;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name as DnsName, RecordType};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Whether the resolver is up is asked at most this often, whatever the number of failing names.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// To resolve a name, a second try over a lost packet included. It must end before connecting times
/// out, or a silent resolver would look like a silent target, and callbacks would pay for it.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// Names kept, with their time to live. Bounded, however many hosts there are.
const KEPT: u64 = 10_000;

/// Why a name has no address that may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("the name does not exist or has no address")]
    NotFound,
    #[error("the name could not be resolved")]
    Unresolved,
    #[error("the resolver does not answer")]
    ResolverDown,
}

/// Why a host may not be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Undialled {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<Undialled> for Outcome {
    fn from(undialled: Undialled) -> Self {
        match undialled {
            Undialled::Name(NameError::NotFound) => Self::NameNotFound,
            Undialled::Name(NameError::Unresolved) => Self::NameUnresolved,
            Undialled::Name(NameError::ResolverDown) => Self::ResolverDown,
            Undialled::Refused(refusal) => Self::AddressRefused(refusal),
        }
    }
}

/// Whose word counts for the addresses behind a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// A caller's URL: each address must be admitted, or none is dialled.
    Guarded(Arc<Guard>),
    /// A registered callee: the operator's, and where the operator has named the only places, each
    /// address must be one of them.
    Registered(Option<Arc<AllowList>>),
}

/// The resolver, with its cache.
#[derive(Clone)]
pub(crate) struct Names(Arc<Resolver>);

struct Resolver {
    dns: TokioResolver,
    /// The same servers without a cache: an answer kept from yesterday proves nothing.
    control: TokioResolver,
    ask_within: Duration,
    /// When it was last asked whether it is up, and the answer. One asks, the others wait for it.
    up: Mutex<Option<(Instant, bool)>>,
}

/// The addresses that the host of a caller's URL resolves to, as an attempt would ask for them;
/// nothing is judged. Call it inside a Tokio runtime.
///
/// # Errors
/// Why there are none, in a sentence without a full stop.
pub async fn addresses_of(
    settings: &DispatcherSettings,
    host: &str,
) -> Result<Vec<IpAddr>, String> {
    let names = Names::new(&settings.dns_servers, settings.connect_timeout);
    let names = names.map_err(|error| format!("the resolver cannot be built: {error}"))?;
    let callers = Policy::Guarded(Arc::default());
    let found = names.resolve(host, &callers).await;
    found.map_err(|error| error.to_string())
}

/// The resolver under one policy, in the form that the HTTP client asks.
pub(crate) struct NamesUnder {
    names: Names,
    policy: Policy,
}

impl Names {
    /// A resolver that asks `servers`, or the system's when there are none, and that knows its
    /// answer well before `connect_timeout`, which counts from the question on.
    pub(crate) fn new(servers: &[SocketAddr], connect_timeout: Duration) -> Result<Self, NetError> {
        let ask_within = ASK_WITHIN.min(connect_timeout * 2 / 3);
        let dns = resolver(servers, ask_within, KEPT)?;
        let control = resolver(servers, ask_within, 0)?;
        let up = Mutex::new(None);
        Ok(Self(Arc::new(Resolver {
            dns,
            control,
            ask_within,
            up,
        })))
    }

    pub(crate) fn under(&self, policy: Policy) -> NamesUnder {
        NamesUnder {
            names: self.clone(),
            policy,
        }
    }

    /// The addresses that a host may be dialled at.
    ///
    /// # Errors
    /// The name's fault, the resolver's, or the guard's refusal.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        policy: &Policy,
    ) -> Result<Vec<IpAddr>, Undialled> {
        let addresses = self.resolve(host, policy).await?;
        policy.admit(host, &addresses)?;
        Ok(addresses)
    }

    async fn resolve(&self, host: &str, policy: &Policy) -> Result<Vec<IpAddr>, NameError> {
        // A caller's name means what it says to everybody: no search domain is tried.
        let rooted = match policy {
            Policy::Guarded(_) if !host.ends_with('.') => format!("{host}."),
            Policy::Guarded(_) | Policy::Registered(_) => host.to_owned(),
        };
        let Ok(name) = DnsName::from_utf8(&rooted) else {
            return Err(NameError::NotFound);
        };
        let lookup = self.0.dns.lookup_ip(name);
        match tokio::time::timeout(self.0.ask_within, lookup).await {
            Ok(Ok(found)) => {
                let addresses: Vec<IpAddr> = found.iter().collect();
                if addresses.is_empty() {
                    Err(NameError::NotFound)
                } else {
                    Ok(addresses)
                }
            }
            Ok(Err(error)) if says_no(&error) => Err(NameError::NotFound),
            // Silence, or a server failure: many a resolver reports its own outage that way.
            Ok(Err(_)) | Err(_) => Err(self.0.blame().await),
        }
    }
}

/// Whether the answer is that there is no such name, or no address for it.
fn says_no(error: &NetError) -> bool {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else {
        return false;
    };
    matches!(
        none.response_code,
        ResponseCode::NXDomain | ResponseCode::NoError
    )
}

impl Resolver {
    /// Tells the name's fault from the resolver's: only one that cannot say where the root is has
    /// failed for everybody.
    async fn blame(&self) -> NameError {
        // Held while one asks, on the failing path alone: a storm of failures asks once.
        let mut up = self.up.lock().await;
        let is_up = match *up {
            Some((at, is_up)) if at.elapsed() < ASK_AGAIN => is_up,
            _ => {
                let root = self.control.lookup(DnsName::root(), RecordType::NS);
                let is_up = match tokio::time::timeout(self.ask_within, root).await {
                    Ok(Ok(_)) => true,
                    Ok(Err(error)) => says_no(&error),
                    Err(_) => false,
                };
                *up = Some((Instant::now(), is_up));
                is_up
            }
        };
        if is_up {
            NameError::Unresolved
        } else {
            NameError::ResolverDown
        }
    }
}

impl Policy {
    /// Any refused address refuses the name: a mixed answer is how rebinding looks.
    fn admit(&self, host: &str, addresses: &[IpAddr]) -> Result<(), Refusal> {
        let mut addresses = addresses.iter();
        match self {
            Self::Guarded(guard) => addresses.try_for_each(|address| guard.admit(host, *address)),
            Self::Registered(Some(only)) => {
                addresses.try_for_each(|address| only.admit(host, *address))
            }
            Self::Registered(None) => Ok(()),
        }
    }
}

impl Resolve for NamesUnder {
    fn resolve(&self, name: Name) -> Resolving {
        let (names, policy) = (self.names.clone(), self.policy.clone());
        Box::pin(async move {
            let addresses = names.addresses(name.as_str(), &policy).await?;
            // Port 0: the client puts the URL's in its place.
            let sockets = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}

fn resolver(
    servers: &[SocketAddr],
    ask_within: Duration,
    kept: u64,
) -> Result<TokioResolver, NetError> {
    let mut builder = if servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let servers = servers.iter().map(name_server).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let options = builder.options_mut();
    options.timeout = ask_within / 2;
    options.attempts = 1; // Beside the first.
    options.cache_size = kept;
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
