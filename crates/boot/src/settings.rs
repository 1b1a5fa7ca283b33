//! What can an operator set, what holds when nothing is set, and who has the last word?
//!
//! Defaults, then the TOML file, then the environment (`RINGBACK__SECTION__KEY`): the later one
//! wins, key by key. An unknown key or a bad value stops the start with one sentence that names it.

mod auto_pause;
mod callee;
mod callers;
mod check;
mod error;
mod journal;
mod load;
mod read;
mod reference;
mod show;
mod source;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use auto_pause::AutoPauseSettings;
pub use callee::{Auth, CalleeSettings, LimitsSettings};
pub use callers::{AppSettings, AuthMode, AuthSettings, Role, TokenSettings};
pub use error::SettingsError;
pub use journal::{AdminSettings, JournalSettings};
pub use load::environment;
pub use reference::Reference;
pub use source::{Loaded, Source};
pub(crate) use source::{Marks, Prints};

/// All settings of a process, checked.
///
/// Printing them in any way (`Debug`, [`Settings::to_toml_redacted`]) never shows a secret.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The broker: RabbitMQ, or the embedded store.
    pub broker: BrokerSettings,
    /// The door in.
    pub ingress: IngressSettings,
    /// The door out.
    pub dispatcher: DispatcherSettings,
    /// When failed attempts are made again.
    pub retry: RetrySettings,
    /// Within which limits targets are called.
    pub limits: LimitsSettings,
    /// How callers prove who they are.
    pub auth: AuthSettings,
    /// Registered apps by `app_id`. Ids keep their case, in the environment too.
    pub apps: BTreeMap<String, AppSettings>,
    /// The record of callbacks and attempts.
    pub journal: JournalSettings,
    /// The operators' HTTP API.
    pub admin: AdminSettings,
    /// When a dispatcher pauses a target by itself.
    pub auto_pause: AutoPauseSettings,
    /// Where callers' URLs may go.
    pub guard: GuardSettings,
    /// Registered callees by number. Numbers keep their case, in the environment too.
    pub callees: BTreeMap<String, CalleeSettings>,
    /// What is logged, and how.
    pub log: LogSettings,
}

/// The way to the broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BrokerSettings {
    /// Where the broker is, for instance `amqp://user:password@host:5672/%2f`. None: not told.
    #[serde(deserialize_with = "read::secret", serialize_with = "show::broker_url")]
    pub url: Option<SecretString>,
    /// Where the embedded store lies, for a process that needs no RabbitMQ. Never set with `url`.
    #[serde(deserialize_with = "read::path")]
    pub data_dir: Option<PathBuf>,
    /// PEM: the only roots that vouch for the broker over `amqps://`. None: the system's.
    #[serde(deserialize_with = "read::path")]
    pub ca_file: Option<PathBuf>,
    /// PEM: the certificate, with its chain, that a broker is shown which asks for one.
    #[serde(deserialize_with = "read::path")]
    pub cert_file: Option<PathBuf>,
    /// PEM: that certificate's private key.
    #[serde(deserialize_with = "read::path")]
    pub key_file: Option<PathBuf>,
    /// What all names in the broker begin with: 1 to 40 of `a-z`, `0-9`, `.`, `_`, `-`.
    #[serde(deserialize_with = "read::plain")]
    pub prefix: String,
    /// Whether the process declares its exchanges and queues, or only checks that they are there.
    #[serde(deserialize_with = "read::flag")]
    pub declare: bool,
    /// How long a publish may wait for the broker's confirm.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub publish_timeout: Duration,
    /// How many confirm channels publish side by side.
    #[serde(deserialize_with = "read::number")]
    pub publish_channels: u16,
}

/// The door in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngressSettings {
    /// The address and port that callers reach.
    #[serde(deserialize_with = "read::address")]
    pub listen: SocketAddr,
    /// The largest request body, in bytes.
    #[serde(deserialize_with = "read::number")]
    pub body_limit_bytes: usize,
    /// How long a caller may take to send its body.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub body_timeout: Duration,
    /// Which HTTP status an answer bears.
    pub http_status: HttpStatus,
    /// Whether `message_type` may be blank, for callers who copied the original's sample.
    #[serde(deserialize_with = "read::flag")]
    pub accept_blank_message_type: bool,
    /// How many messages may wait in the queues before new callbacks are answered 503.
    #[serde(deserialize_with = "read::number")]
    pub max_backlog: u64,
    /// How long an answer waits for the first attempt where the caller says nothing. Zero: it tells
    /// that the callback is durably queued, at once.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub default_wait: Duration,
    /// The longest wait that a caller can ask for.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub max_wait: Duration,
    /// How many HTTP worker threads to run. 0: one per core.
    #[serde(deserialize_with = "read::number")]
    pub workers: usize,
    /// How long a stop waits for requests that are being answered.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub grace: Duration,
}

/// The door out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DispatcherSettings {
    /// The address and port of the dispatcher's health and metrics.
    #[serde(deserialize_with = "read::address")]
    pub listen: SocketAddr,
    /// How many first attempts may be in flight. 16 bits, because it is an AMQP prefetch.
    #[serde(deserialize_with = "read::number")]
    pub first_slots: u16,
    /// How many retries may be in flight.
    #[serde(deserialize_with = "read::number")]
    pub retry_slots: u16,
    /// How long a stop waits for attempts in flight. Longer than an attempt may last.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub grace: Duration,
    /// How long connecting to a target may take.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub connect_timeout: Duration,
    /// How long a whole attempt may take, unless the request says otherwise.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub attempt_timeout: Duration,
    /// The name servers to ask. Empty: the system's.
    #[serde(deserialize_with = "read::addresses")]
    pub dns_servers: Vec<SocketAddr>,
    /// PEM: roots that vouch for targets beside the system's.
    #[serde(deserialize_with = "read::path")]
    pub ca_file: Option<PathBuf>,
}

/// When failed attempts are made again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrySettings {
    /// The wait before the second attempt, the third, and so on; after the last, dead.
    #[serde(
        deserialize_with = "read::durations",
        serialize_with = "show::durations"
    )]
    pub schedule: Vec<Duration>,
}

/// Where callers' URLs may go.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardSettings {
    /// What is open beside the public internet: networks (`10.0.0.0/8`), addresses, addresses with a
    /// port, hosts (`hooks.internal`, `*.internal`). The guard checks them.
    #[serde(deserialize_with = "read::texts")]
    pub allow: Vec<String>,
    /// Whether `http` is refused.
    #[serde(deserialize_with = "read::flag")]
    pub https_only: bool,
    /// Ports that are closed whatever is open: `25`, `6000-6063`.
    #[serde(deserialize_with = "read::ports")]
    pub closed_ports: Vec<String>,
}

/// What is logged, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// How an event looks.
    pub format: LogFormat,
    /// Which events are logged: a level, or directives such as `info,lapin=debug`.
    #[serde(deserialize_with = "read::plain")]
    pub level: String,
}

/// Which HTTP status ingress answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpStatus {
    /// The status that belongs to the answer's code.
    ByCode,
    /// 200 for every answer, for callers that look at the body alone.
    Always200,
}

/// How an event looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// One line for people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            url: None,
            data_dir: None,
            ca_file: None,
            cert_file: None,
            key_file: None,
            prefix: "ringback".to_owned(),
            declare: true,
            publish_timeout: Duration::from_secs(5),
            publish_channels: 2,
        }
    }
}

impl Default for IngressSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5106)),
            body_limit_bytes: 256 * 1024,
            body_timeout: Duration::from_secs(10),
            http_status: HttpStatus::ByCode,
            accept_blank_message_type: false,
            max_backlog: 500_000,
            default_wait: Duration::ZERO,
            max_wait: Duration::from_secs(30),
            workers: 0,
            grace: Duration::from_secs(30),
        }
    }
}

impl Default for DispatcherSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5108)),
            first_slots: 256,
            retry_slots: 64,
            // Longer than the longest attempt that a request may ask for (60 s).
            grace: Duration::from_secs(75),
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(15),
            dns_servers: Vec::new(),
            ca_file: None,
        }
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        // 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h: nine attempts in about 18 hours.
        let seconds = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000];
        Self {
            schedule: seconds.map(Duration::from_secs).to_vec(),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::Auto,
            level: "info".to_owned(),
        }
    }
}
