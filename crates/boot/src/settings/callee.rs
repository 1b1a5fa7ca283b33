//! What can be set of the limits that targets are called within, and of one registered callee?

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reference::Reference;
use super::{read, show};

/// What holds for every callee and target, in each dispatcher.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsSettings {
    /// How many calls at a time. None: a tenth of each lane's slots.
    #[serde(deserialize_with = "read::optional_number")]
    pub in_flight: Option<u32>,
    /// How many calls a second. None: no limit.
    #[serde(deserialize_with = "read::optional_decimal")]
    pub rate: Option<f64>,
    /// How many calls at once after a quiet time, where there is a rate.
    #[serde(deserialize_with = "read::number")]
    pub burst: u32,
    /// How long a callback may wait in memory for its turn.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub waiting: Duration,
    /// The share of failures, 0 to 1, from which on the breaker opens.
    #[serde(deserialize_with = "read::decimal")]
    pub breaker_share: f64,
    /// The least number of calls to judge by; 0: it never opens.
    #[serde(deserialize_with = "read::number")]
    pub breaker_calls: u32,
    /// How far back calls count.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub breaker_window: Duration,
    /// How long it stays open at first.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub breaker_open: Duration,
    /// How long it stays open at most.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub breaker_open_most: Duration,
}

impl Default for LimitsSettings {
    fn default() -> Self {
        Self {
            in_flight: None,
            rate: None,
            burst: 1,
            waiting: Duration::from_secs(2),
            breaker_share: 0.5,
            breaker_calls: 20,
            breaker_window: Duration::from_secs(30),
            breaker_open: Duration::from_secs(15),
            breaker_open_most: Duration::from_secs(60),
        }
    }
}

impl LimitsSettings {
    /// What holds for one callee: its own, else as for all.
    #[must_use]
    pub fn of(&self, callee: &CalleeSettings) -> Self {
        Self {
            in_flight: callee.in_flight.or(self.in_flight),
            rate: callee.rate.or(self.rate),
            burst: callee.burst.unwrap_or(self.burst),
            waiting: callee.waiting.unwrap_or(self.waiting),
            breaker_share: callee.breaker_share.unwrap_or(self.breaker_share),
            breaker_calls: callee.breaker_calls.unwrap_or(self.breaker_calls),
            breaker_window: callee.breaker_window.unwrap_or(self.breaker_window),
            breaker_open: callee.breaker_open.unwrap_or(self.breaker_open),
            breaker_open_most: callee.breaker_open_most.unwrap_or(self.breaker_open_most),
        }
    }
}

/// One registered callee. What is `None` is as for all.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CalleeSettings {
    /// What people call it.
    #[serde(deserialize_with = "read::optional")]
    pub name: Option<String>,
    /// Where it is called. None: known by name, but it cannot be called.
    #[serde(
        deserialize_with = "read::optional",
        serialize_with = "show::callee_url"
    )]
    pub url: Option<String>,
    /// Its waits between attempts. Empty: those of all.
    #[serde(
        deserialize_with = "read::durations",
        serialize_with = "show::durations"
    )]
    pub schedule: Vec<Duration>,
    /// How long a whole attempt may take.
    #[serde(
        deserialize_with = "read::optional_duration",
        serialize_with = "show::optional_duration"
    )]
    pub timeout: Option<Duration>,
    /// How many calls at a time.
    #[serde(deserialize_with = "read::optional_number")]
    pub in_flight: Option<u32>,
    /// How many calls a second.
    #[serde(deserialize_with = "read::optional_decimal")]
    pub rate: Option<f64>,
    /// How many calls at once after a quiet time.
    #[serde(deserialize_with = "read::optional_number")]
    pub burst: Option<u32>,
    /// How long a callback may wait in memory for its turn.
    #[serde(
        deserialize_with = "read::optional_duration",
        serialize_with = "show::optional_duration"
    )]
    pub waiting: Option<Duration>,
    /// The share of failures from which on its breaker opens.
    #[serde(deserialize_with = "read::optional_decimal")]
    pub breaker_share: Option<f64>,
    /// The least number of calls to judge by; 0: its breaker never opens.
    #[serde(deserialize_with = "read::optional_number")]
    pub breaker_calls: Option<u32>,
    /// How far back calls count.
    #[serde(
        deserialize_with = "read::optional_duration",
        serialize_with = "show::optional_duration"
    )]
    pub breaker_window: Option<Duration>,
    /// How long its breaker stays open at first.
    #[serde(
        deserialize_with = "read::optional_duration",
        serialize_with = "show::optional_duration"
    )]
    pub breaker_open: Option<Duration>,
    /// How long it stays open at most.
    #[serde(
        deserialize_with = "read::optional_duration",
        serialize_with = "show::optional_duration"
    )]
    pub breaker_open_most: Option<Duration>,
    /// Statuses (`503`, `4xx`) and outcomes (`timeout`) that are retried on the whole schedule.
    #[serde(deserialize_with = "read::texts")]
    pub retry_on: Vec<String>,
    /// Those that are given up at once.
    #[serde(deserialize_with = "read::texts")]
    pub never_retry: Vec<String>,
    /// Where in a 2xx answer's JSON it says whether it was a success (RFC 6901).
    #[serde(deserialize_with = "read::optional")]
    pub success_pointer: Option<String>,
    /// What it says there then.
    #[serde(deserialize_with = "read::texts")]
    pub success_values: Vec<String>,
    /// Headers of every call to it, over those of callers.
    #[serde(deserialize_with = "read::references")]
    pub headers: BTreeMap<String, Reference>,
    /// How the gateway shows who it is: `basic` (RFC 7617) or `bearer` (RFC 6750).
    #[serde(deserialize_with = "read::optional_auth")]
    pub auth: Option<Auth>,
    /// The user of `basic`.
    #[serde(deserialize_with = "read::optional_reference")]
    pub user: Option<Reference>,
    /// The password of `basic`, the token of `bearer`; where it is.
    #[serde(deserialize_with = "read::optional_reference")]
    pub secret: Option<Reference>,
    /// PEM: the only roots that vouch for it. None: those that all trust.
    #[serde(deserialize_with = "read::path")]
    pub ca_file: Option<PathBuf>,
    /// PEM: the certificate, with its chain, that the gateway shows it.
    #[serde(deserialize_with = "read::path")]
    pub cert_file: Option<PathBuf>,
    /// PEM: that certificate's private key.
    #[serde(deserialize_with = "read::path")]
    pub key_file: Option<PathBuf>,
    /// What its callbacks are signed with, newest first; two while they are being changed. Empty:
    /// with those of the app that sent them.
    #[serde(deserialize_with = "read::secrets")]
    pub signing_secrets: Vec<Reference>,
    /// The only places where it may be. Empty: wherever its URL leads.
    #[serde(deserialize_with = "read::texts")]
    pub only: Vec<String>,
    /// Whether it is not to be called for now: its callbacks are parked.
    #[serde(deserialize_with = "read::flag")]
    pub paused: bool,
}

/// How the gateway shows a callee who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// User and password.
    Basic,
    /// A token.
    Bearer,
}

impl CalleeSettings {
    /// The files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let pem = [&self.ca_file, &self.cert_file, &self.key_file];
        let pem = pem.into_iter().flatten().map(PathBuf::as_path);
        let secrets = [&self.user, &self.secret].into_iter().flatten();
        let secrets = secrets.chain(self.headers.values());
        let secrets = secrets.chain(&self.signing_secrets);
        pem.chain(secrets.filter_map(Reference::file))
    }
}

impl fmt::Debug for CalleeSettings {
    /// A URL's query string may carry a token, so it is masked here too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalleeSettings")
            .field("name", &self.name)
            .field("url", &self.url.as_deref().map(show::masked_url))
            .field("headers", &self.headers)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}
