//! The settings of ingress: the sections `ingress`, `auth` and `apps`.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use delivery::AddressRule;
use delivery::auth::{AuthMode, MAX_CREDENTIALS};
use runtime::SecretRef;
use runtime::config::{duration_in_range, in_range, mask_texts};
use serde::{Deserialize, Serialize};

use crate::cors::check_origin;

/// A shorter timeout is probably in the wrong unit.
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
/// A shorter delay could not be told from what a busy moment causes.
const MIN_TARGET_DELAY: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest app id, as in the contract.
const MAX_APP_ID_BYTES: usize = 128;

/// The highest rate, burst or number of requests in flight of an app.
const MAX_APP_LIMIT: u32 = 1_000_000;

/// How ingress serves callers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngressConfig {
    /// The address and port that callers reach.
    pub listen: SocketAddr,
    /// The largest request body, in bytes.
    pub body_limit_bytes: usize,
    /// How long a caller may take to send its body.
    #[serde(with = "humantime_serde")]
    pub body_timeout: Duration,
    /// Which HTTP status answers have.
    pub http_status: HttpStatusMode,
    /// Whether `message_type` may be blank, for callers that copied the sample request of the original contract.
    pub accept_blank_message_type: bool,
    /// Whether a request with an unknown option is refused. Otherwise the option is ignored, and the
    /// answer's header `x-callback-warning` names it.
    pub strict_options: bool,
    /// How late first attempts may be because more is sent than is delivered: new callbacks that are
    /// due at once are then accepted at the pace of deliveries. Zero: never.
    #[serde(with = "humantime_serde")]
    pub target_delay: Duration,
    /// How many due messages may wait in the queues before new callbacks are answered 503.
    pub max_backlog: u64,
    /// How many callbacks may wait for the time of their next attempt, delayed, deferred or to be
    /// retried, before new callbacks are answered 503.
    pub max_waiting: u64,
    /// The part of each of these bounds that one app may use once more than half of it is used;
    /// beyond, its new callbacks are answered 429. 1: no limit.
    pub app_share: f64,
    /// How long an answer waits for the first attempt when the caller does not say. Zero: callers
    /// are answered as soon as the callback is durably queued.
    #[serde(with = "humantime_serde")]
    pub default_wait: Duration,
    /// The longest wait a caller can ask for.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// Whether a probe goes through each work queue every 10 s, so that the metrics show how soon it
    /// comes out. With RabbitMQ only.
    pub canary: bool,
    /// Whether `/api-docs/` shows the API in a browser. `/openapi.json` is always served.
    pub api_page: bool,
    /// The origins whose web pages may call the API, such as `https://orders.example`. Empty: none.
    pub allowed_origins: Vec<String>,
    /// How many HTTP worker threads to run. 0: one per core.
    pub workers: usize,
    /// How long a stop waits for requests in progress.
    #[serde(with = "humantime_serde")]
    pub shutdown_timeout: Duration,
}

/// Which HTTP status answers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpStatusMode {
    /// The status that belongs to the answer's code.
    #[serde(rename = "by_code")]
    ByCode,
    /// 200 for every answer, for callers that read the body only.
    #[serde(rename = "always_200")]
    Always200,
}

/// How callers authenticate.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Whether and how callers authenticate. `None`: not chosen, and ingress does not start.
    pub mode: Option<AuthMode>,
    /// With `hmac`: how far the time of a signature may differ from now.
    #[serde(with = "humantime_serde")]
    pub timestamp_tolerance: Duration,
}

/// An app that may send callbacks. Its id is the `app_id` of request bodies.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppConfig {
    /// With `bearer`: the hashes of its keys (`sha256:...`); two during a rotation.
    #[serde(serialize_with = "mask_texts")]
    pub keys: Vec<String>,
    /// With `hmac`: its secrets (`whsec_...`), or where they are (`env:NAME`, `file:/path`); two
    /// during a rotation.
    pub secrets: Vec<SecretRef>,
    /// The secrets that sign its callbacks for their targets, newest first; two during a rotation.
    pub signing_secrets: Vec<SecretRef>,
    /// What its URLs may reach in addition to what all apps' URLs may.
    pub allow: Vec<AddressRule>,
    /// The only hosts that its URLs may name. Empty: all that are allowed.
    pub allowed_hosts: Vec<AddressRule>,
    /// Whether `http` is refused for its URLs.
    pub https_only: bool,
    /// Whether its requests are rejected.
    pub disabled: bool,
    /// How many of its requests a second each ingress accepts. 0: no limit.
    pub rate: u32,
    /// How many of its requests are accepted at once after a quiet time. 0: as many as a second's
    /// `rate`.
    pub burst: u32,
    /// How many of its requests each ingress handles at a time. 0: no limit.
    pub max_in_flight: u32,
    /// How many calls for it each dispatcher makes at a time. None: as `limits.app_in_flight`.
    pub in_flight: Option<u32>,
}

impl Default for IngressConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5106)),
            body_limit_bytes: 256 * 1024,
            body_timeout: Duration::from_secs(10),
            http_status: HttpStatusMode::ByCode,
            accept_blank_message_type: false,
            strict_options: false,
            target_delay: Duration::ZERO,
            max_backlog: 500_000,
            max_waiting: 5_000_000,
            app_share: 0.25,
            default_wait: Duration::ZERO,
            max_wait: Duration::from_secs(30),
            canary: true,
            api_page: false,
            allowed_origins: Vec::new(),
            workers: 0,
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            mode: None,
            timestamp_tolerance: Duration::from_secs(5 * 60),
        }
    }
}

impl IngressConfig {
    /// Reports each value that cannot be used: its key within the section, and why.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        let mut check = reporting(report);
        let body_timeout = MIN_TIMEOUT..=5 * MINUTE;
        let max_wait = Duration::ZERO..=5 * MINUTE;
        let default_wait = Duration::ZERO..=self.max_wait;
        let stop = MIN_TIMEOUT..=60 * MINUTE;
        check(
            "body_limit_bytes",
            in_range(self.body_limit_bytes, 1024..=8 * 1024 * 1024),
        );
        check(
            "body_timeout",
            duration_in_range(self.body_timeout, body_timeout),
        );
        if !self.target_delay.is_zero() {
            let target_delay = MIN_TARGET_DELAY..=MINUTE;
            check(
                "target_delay",
                duration_in_range(self.target_delay, target_delay),
            );
        }
        check("max_backlog", in_range(self.max_backlog, 1..=1_000_000_000));
        check("max_waiting", in_range(self.max_waiting, 1..=1_000_000_000));
        check("app_share", in_range(self.app_share, 0.01..=1.0));
        for origin in &self.allowed_origins {
            check("allowed_origins", check_origin(origin));
        }
        // actix-server panics above 512.
        check("workers", in_range(self.workers, 0..=512));
        check("max_wait", duration_in_range(self.max_wait, max_wait));
        check(
            "default_wait",
            duration_in_range(self.default_wait, default_wait),
        );
        check(
            "shutdown_timeout",
            duration_in_range(self.shutdown_timeout, stop),
        );
    }
}

impl AuthConfig {
    /// Reports each value that cannot be used: its key within the section, and why.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        let range = Duration::from_secs(1)..=DAY;
        let checked = duration_in_range(self.timestamp_tolerance, range);
        reporting(report)("timestamp_tolerance", checked);
    }
}

impl AppConfig {
    /// The files that hold its secrets.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let secrets = self.secrets.iter().chain(&self.signing_secrets);
        secrets.filter_map(SecretRef::file)
    }

    /// Reports each value that cannot be used: its key within the app's section, and why.
    pub fn validate(&self, report: &mut dyn FnMut(&str, String)) {
        let mut check = reporting(report);
        check("keys", at_most_two(self.keys.len()));
        check("secrets", at_most_two(self.secrets.len()));
        check("signing_secrets", at_most_two(self.signing_secrets.len()));
        check("keys", none_blank(&self.keys));
        check("rate", in_range(self.rate, 0..=MAX_APP_LIMIT));
        check("burst", in_range(self.burst, 0..=MAX_APP_LIMIT));
        check(
            "max_in_flight",
            in_range(self.max_in_flight, 0..=MAX_APP_LIMIT),
        );
        if let Some(in_flight) = self.in_flight {
            check("in_flight", in_range(in_flight, 1..=65_535));
        }
        if self.burst > 0 && self.rate == 0 {
            check("burst", Err("it needs a rate, and none is set".to_owned()));
        }
    }
}

/// Reports each value of the section `apps` that cannot be used: its key within the section, and
/// why.
pub fn validate_apps(apps: &BTreeMap<String, AppConfig>, report: &mut dyn FnMut(&str, String)) {
    for (id, app) in apps {
        if id.trim().is_empty() || id.len() > MAX_APP_ID_BYTES || id.contains(char::is_control) {
            let reason = "an app's id is 1 to 128 bytes, not blank, no control characters";
            report(&id.escape_debug().to_string(), reason.to_owned());
            continue;
        }
        app.validate(&mut |key, reason| report(&format!("{id}.{key}"), reason));
        if let Err(reason) = check_signing_secrets(&app.signing_secrets, apps) {
            report(&format!("{id}.signing_secrets"), reason);
        }
    }
}

/// Refuses secrets of an app or a callee for signing callbacks if an app also signs its requests with
/// one of them: each side could impersonate the other.
///
/// # Errors
/// Why they cannot be used.
pub fn check_signing_secrets(
    signing_secrets: &[SecretRef],
    apps: &BTreeMap<String, AppConfig>,
) -> Result<(), String> {
    let mut inbound = apps.values().flat_map(|app| &app.secrets);
    if inbound.any(|inbound| signing_secrets.iter().any(|secret| secret.is_same(inbound))) {
        let reason = "an app signs its requests with it; use another secret to sign callbacks";
        return Err(reason.to_owned());
    }
    Ok(())
}

/// Reports what a check refuses.
fn reporting(report: &mut dyn FnMut(&str, String)) -> impl FnMut(&str, Result<(), String>) {
    |key, checked| {
        if let Err(reason) = checked {
            report(key, reason);
        }
    }
}

/// Two, because both are valid during a rotation.
fn at_most_two(count: usize) -> Result<(), String> {
    match count <= MAX_CREDENTIALS {
        true => Ok(()),
        false => Err(format!("it has {count} entries; at most two are allowed")),
    }
}

fn none_blank(items: &[String]) -> Result<(), String> {
    match items.iter().any(|item| item.trim().is_empty()) {
        false => Ok(()),
        true => Err("one of its items is blank".to_owned()),
    }
}
