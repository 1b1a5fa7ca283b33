//! The route of one attempt: its destination, limits and rules.
//!
//! Resolved again for each attempt, so that changed settings apply to callbacks that wait.

use super::callee_profile::CalleeProfile;
use super::delivery_policy::{AppPolicy, DeliveryPolicy, PolicyHandle};
use crate::http::pool::HttpClient;
use contract::Message;
use delivery::limits::{LimitKey, TargetLimits};
use delivery::signature::Signer;
use delivery::{Outcome, Schedule, TargetUrl};
use std::sync::Arc;
use std::time::Duration;

/// The route of one attempt.
pub(crate) struct DeliveryRoute {
    /// The key of its limits. `None`: there is no target.
    pub(crate) key: Option<LimitKey>,
    /// Scheme, host and port, for logs and records. Empty: none.
    pub(crate) target: String,
    pub(crate) limits: TargetLimits,
    /// The maximum number of calls of the app in flight.
    pub(crate) app_cap: Option<u32>,
    pub(crate) paused: bool,
    pub(crate) schedule: Arc<Schedule>,
    /// For the whole call.
    pub(crate) timeout: Duration,
    /// For a registered callee.
    pub(crate) profile: Option<Arc<CalleeProfile>>,
    /// Signs the request, if a secret is configured.
    pub(crate) signing: Option<Arc<Signer>>,
    /// Where the call goes, or the outcome of an attempt that makes no call.
    pub(crate) destination: Result<Destination, Outcome>,
}

/// Where a call goes.
pub(crate) struct Destination {
    pub(crate) url: TargetUrl,
    pub(crate) client: Arc<HttpClient>,
}

/// Makes routes from the current policy.
pub(crate) struct RouteResolver(PolicyHandle);

impl RouteResolver {
    pub(crate) fn new(policy: PolicyHandle) -> Self {
        Self(policy)
    }

    pub(crate) fn policy(&self) -> &PolicyHandle {
        &self.0
    }

    pub(crate) fn resolve(&self, message: &Message) -> DeliveryRoute {
        let policy = self.0.get();
        let app = policy.app(&message.app_id);
        let mut route = match &message.callback_url {
            Some(url) => to_url(&policy, app, url),
            None => to_callee(&policy, message.callee_no.as_deref().unwrap_or_default()),
        };
        route.app_cap = policy.app_cap(&message.app_id);
        // A callee without signing secrets uses those of the app.
        route.signing = route.signing.or_else(|| app.signing.clone());
        if let Some(seconds) = message.options.timeout_seconds {
            route.timeout = Duration::from_secs(seconds.into());
        }
        route
    }
}

/// The route to a caller's URL.
fn to_url(policy: &DeliveryPolicy, app: &AppPolicy, url: &str) -> DeliveryRoute {
    // Ingress has parsed it already: a message that fails here was not written by ingress.
    let Ok(url) = TargetUrl::parse(url) else {
        return undeliverable(policy, Outcome::Failed);
    };
    let target = url.target();
    let name = target.to_string();
    // The HTTP client does not resolve a literal address, so the guard checks it here.
    if let Err(refusal) = app.guard.admit_url(&url) {
        return DeliveryRoute {
            target: name,
            ..undeliverable(policy, Outcome::AddressRefused(refusal))
        };
    }
    DeliveryRoute {
        key: Some(LimitKey::Target(target)),
        target: name,
        destination: Ok(Destination {
            url,
            client: Arc::clone(&app.client),
        }),
        ..undeliverable(policy, Outcome::Failed)
    }
}

/// The route to a registered callee.
fn to_callee(policy: &DeliveryPolicy, no: &str) -> DeliveryRoute {
    let registered = policy.registered(no);
    let Some(callee) = registered.and_then(|registered| policy.callee(&registered.no)) else {
        return DeliveryRoute {
            key: registered.map(|registered| LimitKey::Callee(registered.no.as_str().into())),
            ..undeliverable(policy, Outcome::CalleeWithoutUrl)
        };
    };
    let url = callee.url.as_ref();
    DeliveryRoute {
        key: Some(callee.key.clone()),
        target: url.map(|url| url.target().to_string()).unwrap_or_default(),
        limits: callee.limits,
        app_cap: None,
        paused: callee.paused,
        schedule: Arc::clone(&callee.schedule),
        timeout: callee.timeout,
        profile: Some(Arc::clone(&callee.profile)),
        signing: callee.signing.clone(),
        destination: match url {
            None => Err(Outcome::CalleeWithoutUrl),
            Some(url) => Ok(Destination {
                url: url.clone(),
                client: Arc::clone(&callee.client),
            }),
        },
    }
}

/// A route without a destination, with the defaults for everything else.
fn undeliverable(policy: &DeliveryPolicy, outcome: Outcome) -> DeliveryRoute {
    DeliveryRoute {
        key: None,
        target: String::new(),
        limits: policy.limits,
        app_cap: None,
        paused: false,
        schedule: Arc::clone(&policy.schedule),
        timeout: policy.timeout,
        profile: None,
        signing: None,
        destination: Err(outcome),
    }
}
