//! The snapshot of the settings from which routes are made.
//!
//! A reload builds a new snapshot and replaces the old one as a whole. HTTP clients move to the new
//! snapshot where their settings are unchanged, so a reload does not close connections.

use super::callee_profile::{CalleeDefaults, CalleePolicy};
use super::signing;
use crate::config::{CalleeConfig, DispatcherConfig, validate_callees};
use crate::http::certificates::CertificateExpiries;
use crate::http::dns::AddressPolicy;
use crate::http::pool::{ClientFactory, HttpClient};
use crate::http::tls::TlsProfile;
use delivery::limits::{LimitsConfig, TargetLimits};
use delivery::retry::RetryConfig;
use delivery::signature::Signer;
use delivery::{CalleeRegistry, Guard, Guards, RegisteredCallee, Schedule, TargetUrl};
use runtime::{ConfigError, Reloadable, SecretRef};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use url::Host;

/// The settings that a policy is made from.
#[derive(Clone, Debug)]
pub struct PolicyConfig<'a> {
    /// Timeouts and trusted roots.
    pub dispatcher: &'a DispatcherConfig,
    /// The retry schedule.
    pub retry: &'a RetryConfig,
    /// The limits of all targets.
    pub limits: &'a LimitsConfig,
    /// Registered callees, by number.
    pub callees: &'a BTreeMap<String, CalleeConfig>,
    /// `apps.ID.signing_secrets`, by app id.
    pub app_signing_secrets: BTreeMap<&'a str, &'a [SecretRef]>,
    /// `apps.ID.in_flight`, by app id.
    pub app_in_flight: BTreeMap<&'a str, u32>,
}

/// Everything that a route is made from.
pub struct DeliveryPolicy {
    registry: Arc<CalleeRegistry>,
    pub(super) schedule: Arc<Schedule>,
    pub(super) timeout: Duration,
    pub(super) limits: TargetLimits,
    /// `limits.app_in_flight`: for apps without a cap of their own.
    app_in_flight: Option<u32>,
    /// Caps of apps, by id.
    app_caps: HashMap<String, u32>,
    /// For apps without their own settings.
    default_app: AppPolicy,
    /// Apps with their own settings, by id.
    apps: HashMap<String, AppPolicy>,
    /// Configured callees, by number as registered.
    callees: HashMap<String, CalleePolicy>,
    /// One client for each address policy and TLS profile in use.
    clients: Vec<Arc<HttpClient>>,
}

/// The policy for callbacks of one app. Apps without their own settings share one.
pub(super) struct AppPolicy {
    /// Checks the URLs of its callbacks.
    pub(super) guard: Arc<Guard>,
    /// Connects only where the guard admits.
    pub(super) client: Arc<HttpClient>,
    /// Signs its callbacks, if a secret is configured.
    pub(super) signing: Option<Arc<Signer>>,
}

/// The current policy, and the factory for the clients of the next one. Cheap to clone.
#[derive(Clone)]
pub struct PolicyHandle {
    current: Reloadable<DeliveryPolicy>,
    factory: Arc<ClientFactory>,
}

impl PolicyHandle {
    pub(crate) fn new(
        config: &PolicyConfig<'_>,
        registry: Arc<CalleeRegistry>,
        guards: &Guards,
        factory: ClientFactory,
    ) -> Result<Self, ConfigError> {
        let policy =
            DeliveryPolicy::new(config, registry, guards, ClientCache::new(&factory, &[]))?;
        factory.expiries.watch(policy.tls_hosts());
        Ok(Self {
            current: Reloadable::new(policy),
            factory: Arc::new(factory),
        })
    }

    /// When the certificates of registered callees expire.
    pub(crate) fn certificates(&self) -> CertificateExpiries {
        self.factory.expiries.clone()
    }

    pub(super) fn get(&self) -> Arc<DeliveryPolicy> {
        self.current.get()
    }

    /// Builds a policy from new settings and the files that they name, without applying it.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub fn prepare(
        &self,
        config: &PolicyConfig<'_>,
        registry: Arc<CalleeRegistry>,
        guards: &Guards,
    ) -> Result<DeliveryPolicy, ConfigError> {
        let current = self.current.get();
        let clients = ClientCache::new(&self.factory, &current.clients);
        DeliveryPolicy::new(config, registry, guards, clients)
    }

    /// Replaces the policy, for all routes from now on.
    pub fn set(&self, policy: DeliveryPolicy) {
        self.factory.expiries.watch(policy.tls_hosts());
        self.current.set(policy);
    }
}

/// The host of a URL that is called with TLS, as it is named in the handshake.
pub fn tls_host(url: &TargetUrl) -> Option<String> {
    if url.url().scheme() != "https" {
        return None;
    }
    Some(match url.url().host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    })
}

impl DeliveryPolicy {
    /// The hosts of registered callees that are called with TLS.
    fn tls_hosts(&self) -> Vec<String> {
        let urls = self
            .registry
            .iter()
            .filter_map(|callee| callee.url.as_ref());
        urls.filter_map(tls_host).collect()
    }

    pub(super) fn app(&self, id: &str) -> &AppPolicy {
        self.apps.get(id).unwrap_or(&self.default_app)
    }

    /// The maximum number of calls of an app in flight.
    pub(super) fn app_cap(&self, id: &str) -> Option<u32> {
        self.app_caps.get(id).copied().or(self.app_in_flight)
    }

    pub(super) fn registered(&self, no: &str) -> Option<&RegisteredCallee> {
        self.registry.find(no)
    }

    /// The callee with this number as registered, if it is configured.
    pub(super) fn callee(&self, no: &str) -> Option<&CalleePolicy> {
        self.callees.get(no)
    }

    fn new(
        config: &PolicyConfig<'_>,
        registry: Arc<CalleeRegistry>,
        guards: &Guards,
        mut clients: ClientCache<'_>,
    ) -> Result<Self, ConfigError> {
        check_callees(config)?;
        let tls = TlsProfile::for_all(config.dispatcher)?;
        let schedule = config.retry.schedule();
        let schedule = schedule.map_err(|error| ConfigError::refused("retry.schedule", error))?;
        let schedule = Arc::new(schedule);
        let mut app = |id: &str| {
            let guard = guards.for_app(id);
            let addresses = AddressPolicy::Guarded(Arc::clone(guard));
            let secrets = config.app_signing_secrets.get(id);
            let secrets = secrets.copied().unwrap_or_default();
            Ok(AppPolicy {
                guard: Arc::clone(guard),
                client: clients.get(addresses, tls.clone(), "dispatcher.ca_file")?,
                signing: signing::read(&format!("apps.{id}"), secrets)?,
            })
        };
        // The empty id belongs to no app.
        let default_app = app("")?;
        let apps = apps_with_settings(config, guards).into_iter();
        let apps = apps.map(|id| Ok((id.to_owned(), app(id)?)));
        let apps = apps.collect::<Result<_, ConfigError>>()?;
        let defaults = CalleeDefaults {
            schedule: &schedule,
            timeout: config.dispatcher.attempt_timeout,
            limits: config.limits,
        };
        let mut callees = HashMap::new();
        for (no, callee) in config.callees {
            let Some(registered) = registry.find(no) else {
                continue; // Unreachable: every configured number is registered.
            };
            // If two spellings of a number are configured, the registered one applies.
            if registered.no != *no && config.callees.contains_key(&registered.no) {
                continue;
            }
            let addresses = AddressPolicy::Registered(callee.allow_list().map(Arc::new));
            let tls = tls.for_callee(no, callee)?;
            let client = clients.get(addresses, tls, &format!("callees.{no}.cert_file"))?;
            let policy = CalleePolicy::new(registered, callee, &defaults, client)?;
            callees.insert(registered.no.clone(), policy);
        }
        Ok(Self {
            timeout: config.dispatcher.attempt_timeout,
            limits: config.limits.limits(),
            app_in_flight: config.limits.app_in_flight,
            app_caps: config
                .app_in_flight
                .iter()
                .map(|(id, cap)| ((*id).to_owned(), *cap))
                .collect(),
            clients: clients.in_use,
            registry,
            schedule,
            default_app,
            apps,
            callees,
        })
    }
}

/// Repeats the check of the settings: otherwise a URL with a literal address that is not in
/// `allowed_addresses` would be called, because no name is resolved.
fn check_callees(config: &PolicyConfig<'_>) -> Result<(), ConfigError> {
    let mut checked = Ok(());
    validate_callees(config.callees, config.limits, &mut |key, reason| {
        if checked.is_ok() {
            checked = Err(ConfigError::refused(&format!("callees.{key}"), reason));
        }
    });
    checked
}

/// Apps that have signing secrets or their own guard.
fn apps_with_settings<'a>(config: &PolicyConfig<'a>, guards: &'a Guards) -> BTreeSet<&'a str> {
    let signed = config.app_signing_secrets.iter();
    let signed = signed.filter(|(_, secrets)| !secrets.is_empty());
    let guarded = guards.apps().map(|(id, _)| id);
    signed.map(|(id, _)| *id).chain(guarded).collect()
}

/// The clients of a policy, each built once or reused from the previous policy.
struct ClientCache<'a> {
    factory: &'a ClientFactory,
    previous: &'a [Arc<HttpClient>],
    in_use: Vec<Arc<HttpClient>>,
}

impl<'a> ClientCache<'a> {
    fn new(factory: &'a ClientFactory, previous: &'a [Arc<HttpClient>]) -> Self {
        Self {
            factory,
            previous,
            in_use: Vec::new(),
        }
    }

    /// The client under this address policy and TLS profile.
    ///
    /// # Errors
    /// When it cannot be built; the error names `key`.
    fn get(
        &mut self,
        addresses: AddressPolicy,
        tls: TlsProfile,
        key: &str,
    ) -> Result<Arc<HttpClient>, ConfigError> {
        let matches =
            |client: &&Arc<HttpClient>| client.address_policy == addresses && client.tls == tls;
        if let Some(client) = self.in_use.iter().find(matches) {
            return Ok(Arc::clone(client));
        }
        let client = match self.previous.iter().find(matches) {
            Some(client) => Arc::clone(client),
            None => self
                .factory
                .build(addresses, tls)
                .map_err(|_| ConfigError::refused(key, "no HTTP client can be built with it"))?,
        };
        self.in_use.push(Arc::clone(&client));
        Ok(client)
    }
}

#[cfg(test)]
mod tests;
