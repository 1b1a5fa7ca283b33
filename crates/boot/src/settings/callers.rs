//! What can be set of those who ask: callers, and operators?

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::reference::Reference;
use super::{read, show};

/// How callers prove who they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// Whether callers prove it, and how. None: not chosen, and no door opens.
    #[serde(deserialize_with = "read::mode")]
    pub mode: Option<AuthMode>,
    /// With `hmac`: how far the time of a signature may lie from now.
    #[serde(deserialize_with = "read::duration", serialize_with = "show::duration")]
    pub window: Duration,
}

/// Whether callers prove who they are, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// Not at all: whoever reaches the port is believed.
    Open,
    /// By a key in the `Authorization` header.
    Bearer,
    /// By a signature over each request.
    Hmac,
}

/// One app that may send callbacks. Its id is the bodies' `app_id`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppSettings {
    /// With `bearer`: the hashes of its keys (`sha256:...`), two while they are being changed.
    #[serde(deserialize_with = "read::texts", serialize_with = "show::hashes")]
    pub keys: Vec<String>,
    /// With `hmac`: its secrets (`whsec_...`), or where they stand (`env:NAME`, `file:/path`); two
    /// while they are being changed.
    #[serde(deserialize_with = "read::secrets")]
    pub secrets: Vec<Reference>,
    /// What its callbacks are signed with for their targets, newest first; two while they are being
    /// changed.
    #[serde(deserialize_with = "read::secrets")]
    pub signing_secrets: Vec<Reference>,
    /// What is open to its URLs beside what is open to all.
    #[serde(deserialize_with = "read::texts")]
    pub allow: Vec<String>,
    /// The only places that its URLs may name. Empty: all that are open.
    #[serde(deserialize_with = "read::texts")]
    pub only: Vec<String>,
    /// Whether `http` is refused for its URLs.
    #[serde(deserialize_with = "read::flag")]
    pub https_only: bool,
    /// Whether it is turned away.
    #[serde(deserialize_with = "read::flag")]
    pub disabled: bool,
    /// How many requests a second each ingress takes of it. 0: as many as come.
    #[serde(deserialize_with = "read::number")]
    pub rate: u32,
    /// How many at once after a quiet time. 0: as many as in a second.
    #[serde(deserialize_with = "read::number")]
    pub burst: u32,
    /// How many of its requests each ingress has in hand at a time. 0: as many as come.
    #[serde(deserialize_with = "read::number")]
    pub quota: u32,
}

/// One operator's token for the operators' API.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenSettings {
    /// The hash of the token (`sha256:...`).
    #[serde(deserialize_with = "read::plain", serialize_with = "show::hash")]
    pub hash: String,
    /// What it is good for.
    pub role: Role,
}

/// What an operator may do. Each may do what those before it may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To look.
    #[default]
    Read,
    /// To replay, discard and withdraw callbacks.
    Replay,
    /// Everything.
    Configure,
}

impl Role {
    /// Its name in settings and sentences.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Replay => "replay",
            Self::Configure => "configure",
        }
    }
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            mode: None,
            window: Duration::from_secs(5 * 60),
        }
    }
}

impl AppSettings {
    /// The files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let secrets = self.secrets.iter().chain(&self.signing_secrets);
        secrets.filter_map(Reference::file)
    }
}
