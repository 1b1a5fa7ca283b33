//! What can be set of the record of callbacks, and of the operators' way to it?

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{TokenSettings, read, show};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The record of callbacks and attempts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalSettings {
    /// Where it is, for instance `postgres://user:password@host/ringback`. None: the embedded store
    /// keeps its own beside it; RabbitMQ alone has none.
    #[serde(
        deserialize_with = "read::secret",
        serialize_with = "show::journal_url"
    )]
    pub url: Option<SecretString>,
    /// How long callbacks that have ended are kept, with their attempts.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub retention: Duration,
    /// How long the bodies of dead letters are kept, without which none can be replayed.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub body_retention: Duration,
    /// How many records wait in memory at most before records are dropped, in each process.
    #[serde(deserialize_with = "read::number")]
    pub spool: usize,
    /// How many messages may wait in the journal's queue before new callbacks are answered 503.
    #[serde(deserialize_with = "read::number")]
    pub max_backlog: u64,
}

/// The operators' HTTP API.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSettings {
    /// Its address and port.
    #[serde(deserialize_with = "read::address")]
    pub listen: SocketAddr,
    /// What every request must show as its bearer token. None: nothing, on loopback alone.
    #[serde(deserialize_with = "read::secret", serialize_with = "show::secret")]
    pub token: Option<SecretString>,
    /// More tokens, by the name that the audit log shows. Shown in sections of their own.
    #[serde(skip_serializing)]
    pub tokens: BTreeMap<String, TokenSettings>,
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            url: None,
            retention: 30 * DAY,
            body_retention: 30 * DAY,
            spool: 100_000,
            max_backlog: 1_000_000,
        }
    }
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5109)),
            token: None,
            tokens: BTreeMap::new(),
        }
    }
}
