//! The policy of one registered callee.

use super::signing;
use super::success_rule::SuccessRule;
use crate::config::{CalleeAuth, CalleeConfig};
use crate::http::pool::HttpClient;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use delivery::limits::{LimitKey, LimitsConfig, TargetLimits};
use delivery::signature::Signer;
use delivery::{RegisteredCallee, RetryOverrides, Schedule, TargetUrl};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use runtime::{ConfigError, SecretRef};
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

/// A callee's settings, ready for use.
pub(super) struct CalleePolicy {
    pub(super) key: LimitKey,
    pub(super) url: Option<TargetUrl>,
    pub(super) limits: TargetLimits,
    pub(super) paused: bool,
    pub(super) schedule: Arc<Schedule>,
    pub(super) timeout: Duration,
    pub(super) client: Arc<HttpClient>,
    pub(super) profile: Arc<CalleeProfile>,
    /// Signs its callbacks. `None`: the app's secrets do.
    pub(super) signing: Option<Arc<Signer>>,
}

/// How requests to a callee are made, and how its answers are judged.
pub(crate) struct CalleeProfile {
    /// Headers that replace those of callers. Each value is marked as sensitive.
    pub(crate) headers: HeaderMap,
    pub(crate) success_rule: Option<SuccessRule>,
    pub(crate) retry_overrides: RetryOverrides,
    /// Whether its answers may be kept.
    pub(crate) keep_answers: bool,
    /// Whether its requests have CloudEvents headers.
    pub(crate) cloud_events: bool,
}

/// Defaults for what a callee does not set.
pub(super) struct CalleeDefaults<'a> {
    pub(super) schedule: &'a Arc<Schedule>,
    pub(super) timeout: Duration,
    pub(super) limits: &'a LimitsConfig,
}

impl CalleePolicy {
    pub(super) fn new(
        callee: &RegisteredCallee,
        config: &CalleeConfig,
        defaults: &CalleeDefaults<'_>,
        client: Arc<HttpClient>,
    ) -> Result<Self, ConfigError> {
        let no = &*callee.no;
        let schedule = config.own_schedule();
        let schedule = schedule.map_err(|error| refused(no, "schedule", error))?;
        let retry_overrides = config.retry_overrides();
        let retry_overrides = retry_overrides.map_err(|(key, reason)| refused(no, key, reason))?;
        let rule = config.success_pointer.as_deref();
        let rule = rule.map(|pointer| SuccessRule::new(pointer, config.success_values.clone()));
        Ok(Self {
            key: LimitKey::Callee(no.into()),
            url: callee.url.clone(),
            limits: config.limits(defaults.limits).limits(),
            paused: config.paused,
            schedule: schedule.map_or_else(|| Arc::clone(defaults.schedule), Arc::new),
            timeout: config.timeout.unwrap_or(defaults.timeout),
            client,
            profile: Arc::new(CalleeProfile {
                headers: headers(no, config)?,
                success_rule: rule,
                retry_overrides,
                keep_answers: config.keep_answers.unwrap_or(true),
                cloud_events: config.cloud_events,
            }),
            signing: signing::read(&format!("callees.{no}"), &config.signing_secrets)?,
        })
    }
}

fn refused(no: &str, name: &str, reason: impl Display) -> ConfigError {
    ConfigError::refused(&format!("callees.{no}.{name}"), reason)
}

fn headers(no: &str, config: &CalleeConfig) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::with_capacity(config.headers.len() + 1);
    for (name, value) in &config.headers {
        let key = format!("headers.{name}");
        let name =
            HeaderName::try_from(name).map_err(|_| refused(no, &key, "it is not a header name"))?;
        headers.insert(name, sensitive(no, &key, &read(no, &key, value)?)?);
    }
    if let (Some(auth), Some(secret)) = (config.auth, &config.secret) {
        let secret = read(no, "secret", secret)?;
        let value = match (auth, &config.user) {
            (CalleeAuth::Basic, Some(user)) => basic(&read(no, "user", user)?, &secret),
            (CalleeAuth::Basic | CalleeAuth::Bearer, _) => {
                format!("Bearer {}", secret.expose_secret()).into()
            }
        };
        headers.insert(AUTHORIZATION, sensitive(no, "secret", &value)?);
    }
    Ok(headers)
}

fn read(no: &str, name: &str, secret: &SecretRef) -> Result<SecretString, ConfigError> {
    secret.read().map_err(|reason| refused(no, name, reason))
}

fn sensitive(no: &str, name: &str, value: &SecretString) -> Result<HeaderValue, ConfigError> {
    let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| {
        refused(
            no,
            name,
            "its value holds a character that no header allows",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// RFC 7617, section 2.
fn basic(user: &SecretString, secret: &SecretString) -> SecretString {
    let pair = format!("{}:{}", user.expose_secret(), secret.expose_secret());
    format!("Basic {}", STANDARD.encode(pair)).into()
}
