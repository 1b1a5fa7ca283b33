//! Settings of one registered callee (`callees.NO`).

use contract::{comparable_header, is_replaced_header, is_reserved_header};
use delivery::limits::LimitsConfig;
use delivery::{
    AddressRule, AllowList, OutcomeMatcher, RetryOverrides, Schedule, ScheduleError, TargetUrl,
};
use runtime::SecretRef;
use runtime::config::{duration_in_range, masked_url};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

/// The longest callee number, as in the contract.
const MAX_NUMBER_BYTES: usize = 128;
/// A callee has two secrets while they are being rotated.
const MAX_SIGNING_SECRETS: usize = 2;
/// The maximum of `options.timeout_seconds`, as in the contract.
const MAX_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// One registered callee. `None` and empty lists fall back to the settings for all callees.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalleeConfig {
    /// Its name for people.
    pub name: Option<String>,
    /// The URL at which it is called. None: it is registered, but cannot be called.
    #[serde(serialize_with = "runtime::config::mask_url")]
    pub url: Option<String>,
    /// The waits between its attempts. Empty: `retry.schedule`.
    #[serde(with = "delivery::retry::durations")]
    pub schedule: Vec<Duration>,
    /// The longest time for a whole attempt.
    #[serde(with = "humantime_serde")]
    pub timeout: Option<Duration>,
    /// The maximum number of calls in flight.
    pub in_flight: Option<u32>,
    /// The maximum number of calls per second.
    pub rate: Option<f64>,
    /// How many calls may be made at once after a quiet time.
    pub burst: Option<u32>,
    /// The longest time that a callback waits in memory for a permit.
    #[serde(with = "humantime_serde")]
    pub queue_timeout: Option<Duration>,
    /// The ratio of failures at which its breaker opens.
    pub breaker_failure_ratio: Option<f64>,
    /// The fewest calls to judge by; 0: its breaker never opens.
    pub breaker_min_calls: Option<u32>,
    /// How far back calls count.
    #[serde(with = "humantime_serde")]
    pub breaker_window: Option<Duration>,
    /// How long its breaker stays open at first.
    #[serde(with = "humantime_serde")]
    pub breaker_open_duration: Option<Duration>,
    /// The longest time that it stays open.
    #[serde(with = "humantime_serde")]
    pub breaker_max_open_duration: Option<Duration>,
    /// Statuses (`503`, `4xx`) and outcomes (`timeout`) that are retried on the whole schedule.
    pub retry_on: Vec<OutcomeMatcher>,
    /// Statuses and outcomes that dead-letter the callback at once.
    pub never_retry: Vec<OutcomeMatcher>,
    /// Where a 2xx answer's JSON says whether the call succeeded (RFC 6901).
    pub success_pointer: Option<String>,
    /// The values there that mean success.
    pub success_values: Vec<String>,
    /// Whether a 2xx answer in which the success rule finds no value counts as delivered.
    pub success_when_unreadable: bool,
    /// Whether what it answers to attempts that did not deliver is kept. None: as
    /// `journal.keep_answers`, which this cannot turn on.
    pub keep_answers: Option<bool>,
    /// Whether every call to it has the headers of CloudEvents: `ce-id`, `ce-source`, `ce-type`, ...
    pub cloud_events: bool,
    /// Headers of every call to it. They replace those of callers.
    pub headers: BTreeMap<String, SecretRef>,
    /// How the gateway authenticates: `basic` (RFC 7617) or `bearer` (RFC 6750).
    pub auth: Option<CalleeAuth>,
    /// The user for `basic`.
    pub user: Option<SecretRef>,
    /// Where the password for `basic` or the token for `bearer` is.
    pub secret: Option<SecretRef>,
    /// PEM: the only trusted roots for it. None: those for all targets.
    pub ca_file: Option<PathBuf>,
    /// PEM: the client certificate with its chain.
    pub cert_file: Option<PathBuf>,
    /// PEM: the private key of the client certificate.
    pub key_file: Option<PathBuf>,
    /// Secrets that sign its callbacks, newest first; two during a rotation. Empty: those of the
    /// sending app.
    pub signing_secrets: Vec<SecretRef>,
    /// The only addresses and hosts at which it may be called. Empty: any.
    pub allowed_addresses: Vec<AddressRule>,
    /// Whether it is paused: its callbacks are deferred.
    pub paused: bool,
}

/// How the gateway authenticates to a callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CalleeAuth {
    /// User and password.
    Basic,
    /// A token.
    Bearer,
}

impl fmt::Debug for CalleeConfig {
    /// The URL's query string may carry a token, so it is masked here as well.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalleeConfig")
            .field("name", &self.name)
            .field("url", &self.url.as_deref().map(masked_url))
            .field("headers", &self.headers)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

impl CalleeConfig {
    /// Its limits: its own where set, otherwise `defaults`.
    #[must_use]
    pub fn limits(&self, defaults: &LimitsConfig) -> LimitsConfig {
        LimitsConfig {
            app_in_flight: None,
            in_flight: self.in_flight.or(defaults.in_flight),
            rate: self.rate.or(defaults.rate),
            burst: self.burst.unwrap_or(defaults.burst),
            queue_timeout: self.queue_timeout.unwrap_or(defaults.queue_timeout),
            breaker_failure_ratio: self
                .breaker_failure_ratio
                .unwrap_or(defaults.breaker_failure_ratio),
            breaker_min_calls: self.breaker_min_calls.unwrap_or(defaults.breaker_min_calls),
            breaker_window: self.breaker_window.unwrap_or(defaults.breaker_window),
            breaker_open_duration: self
                .breaker_open_duration
                .unwrap_or(defaults.breaker_open_duration),
            breaker_max_open_duration: self
                .breaker_max_open_duration
                .unwrap_or(defaults.breaker_max_open_duration),
        }
    }

    /// Its own schedule; `None`: that of all callees.
    pub(crate) fn own_schedule(&self) -> Result<Option<Schedule>, ScheduleError> {
        match &*self.schedule {
            [] => Ok(None),
            waits => Schedule::new(waits.to_vec()).map(Some),
        }
    }

    /// Its exceptions from the usual retry rules.
    ///
    /// # Errors
    /// The key that cannot be used, and why.
    pub fn retry_overrides(&self) -> Result<RetryOverrides, (&'static str, String)> {
        let overrides = RetryOverrides::new(self.retry_on.clone(), self.never_retry.clone())
            .map_err(|both| ("never_retry", format!("{both} is in retry_on as well")))?;
        if !self.success_when_unreadable {
            return Ok(overrides);
        }
        let key = "success_when_unreadable";
        if self.success_pointer.is_none() {
            let reason = "it needs success_pointer and success_values".to_owned();
            return Err((key, reason));
        }
        overrides.unreadable_as_success().map_err(|named| {
            let reason = format!("{named} is in retry_on or never_retry as well");
            (key, reason)
        })
    }

    /// The only addresses and hosts at which it may be called, if it names any.
    pub(crate) fn allow_list(&self) -> Option<AllowList> {
        let rules = &self.allowed_addresses;
        (!rules.is_empty()).then(|| AllowList::new(rules.clone()))
    }

    /// The files that it names; a change of one is a change of the settings.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pem = [&self.ca_file, &self.cert_file, &self.key_file];
        let pem = pem.into_iter().flatten().map(PathBuf::as_path);
        let secrets = [&self.user, &self.secret].into_iter().flatten();
        let secrets = secrets.chain(self.headers.values());
        let secrets = secrets.chain(&self.signing_secrets);
        pem.chain(secrets.filter_map(SecretRef::file))
    }

    /// Reports each value that cannot be used. `defaults` are the limits of all callees.
    pub fn validate(&self, defaults: &LimitsConfig, report: &mut dyn FnMut(&str, String)) {
        let limits = self.limits(defaults);
        limits.validate(report);
        if self.burst.is_some() && limits.rate.is_none() {
            report("burst", "it needs a rate, and none is set".to_owned());
        }
        if let Some(timeout) = self.timeout
            && let Err(reason) =
                duration_in_range(timeout, Duration::from_secs(1)..=MAX_ATTEMPT_TIMEOUT)
        {
            report("timeout", reason);
        }
        if let Err(error) = self.own_schedule() {
            report("schedule", error.to_string());
        }
        if let Err((key, reason)) = self.retry_overrides() {
            report(key, reason);
        }
        let single_values = [
            self.url_error(),
            self.certificate_error(),
            self.signing_error(),
            self.success_rule_error(),
            self.credentials_error(),
        ];
        for (key, reason) in single_values.into_iter().flatten() {
            report(key, reason.to_owned());
        }
        for name in self.headers.keys() {
            if let Some(reason) = self.header_error(name) {
                let key = format!("headers.{name}").escape_debug().to_string();
                report(&key, reason.to_owned());
            }
        }
    }

    fn url_error(&self) -> Option<(&'static str, &'static str)> {
        let url = self.url.as_deref()?;
        let is_http = Url::parse(url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !is_http {
            // The URL is not shown: the mistake may be a token in the wrong place.
            let reason = "it is not an http or https URL (write https://host/path)";
            return Some(("url", reason));
        }
        // Other faults of the URL are reported by the callee registry.
        let (url, allowed) = (TargetUrl::parse(url).ok()?, self.allow_list()?);
        let excluded = allowed.admit_url(&url).is_err();
        excluded.then_some(("url", "its host is not in allowed_addresses"))
    }

    fn certificate_error(&self) -> Option<(&'static str, &'static str)> {
        let reason = "cert_file and key_file go together: set both, or none";
        let incomplete = self.cert_file.is_some() != self.key_file.is_some();
        incomplete.then_some(("cert_file", reason))
    }

    fn signing_error(&self) -> Option<(&'static str, &'static str)> {
        let too_many = self.signing_secrets.len() > MAX_SIGNING_SECRETS;
        too_many.then_some(("signing_secrets", "it has more than two entries"))
    }

    fn success_rule_error(&self) -> Option<(&'static str, &'static str)> {
        let key = "success_pointer";
        if self.success_pointer.is_some() == self.success_values.is_empty() {
            let reason = "success_pointer and success_values go together: set both, or none";
            return Some((key, reason));
        }
        let pointer = self.success_pointer.as_deref()?;
        let reason = "it is not a JSON pointer (write /code, or /result/code)";
        (!is_json_pointer(pointer)).then_some((key, reason))
    }

    fn credentials_error(&self) -> Option<(&'static str, &'static str)> {
        let (user, secret) = (self.user.is_some(), self.secret.is_some());
        if self
            .secret
            .as_ref()
            .is_some_and(|secret| !secret.is_indirect())
        {
            let reason = "it must not be written in the settings (write env:NAME or file:/path)";
            return Some(("secret", reason));
        }
        match self.auth {
            None if user || secret => Some((
                "auth",
                "it is not set, but user or secret is (write basic or bearer)",
            )),
            Some(_) if !secret => Some((
                "secret",
                "it is not set, and auth needs it (write env:NAME or file:/path)",
            )),
            Some(CalleeAuth::Basic) if !user => {
                Some(("user", "it is not set, and auth = \"basic\" needs it"))
            }
            Some(CalleeAuth::Bearer) if user => {
                Some(("user", "auth = \"bearer\" has no user, only a secret"))
            }
            None | Some(CalleeAuth::Basic | CalleeAuth::Bearer) => None,
        }
    }

    fn header_error(&self, name: &str) -> Option<&'static str> {
        let comparable = comparable_header(name);
        let is_own = is_reserved_header(name)
            || is_replaced_header(name)
            || (self.auth.is_some() && comparable == "authorization");
        if is_own {
            return Some("it is set by the gateway itself");
        }
        let is_same = |other: &&String| comparable_header(other) == comparable;
        if self.headers.keys().filter(is_same).count() > 1 {
            return Some("it is there twice (_ and . are taken for -)");
        }
        (!is_token(name)).then_some("it is not a header name")
    }
}

/// Reports each value of `callees` that cannot be used, by its key within that section.
/// `defaults` are the limits of all callees.
pub fn validate_callees(
    callees: &BTreeMap<String, CalleeConfig>,
    defaults: &LimitsConfig,
    report: &mut dyn FnMut(&str, String),
) {
    for (number, callee) in callees {
        if number.trim().is_empty()
            || number.len() > MAX_NUMBER_BYTES
            || number.contains(char::is_control)
        {
            let reason = "a callee's number is 1 to 128 bytes, not blank, no control characters";
            report(&number.escape_debug().to_string(), reason.to_owned());
        }
        callee.validate(defaults, &mut |key, reason| {
            report(&format!("{number}.{key}"), reason);
        });
    }
}

/// RFC 6901, section 3.
fn is_json_pointer(text: &str) -> bool {
    let mut escapes = text.split('~').skip(1);
    text.starts_with('/') && escapes.all(|after| after.starts_with(['0', '1']))
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}
