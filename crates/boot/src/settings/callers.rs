//! What can be set of those who ask: callers, and operators?

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

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
    #[serde(deserialize_with = "read::secrets", serialize_with = "show::secrets")]
    pub secrets: Vec<SecretString>,
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

/// Where a secret stands that is not written in the settings itself.
pub(super) fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

/// The file that a secret stands in, if it does.
pub(super) fn file(secret: &SecretString) -> Option<&Path> {
    secret.expose_secret().strip_prefix("file:").map(Path::new)
}

/// The secret itself: `env:NAME` is the variable's value, `file:/path` the file's content without
/// blanks around it, everything else stands for itself.
///
/// # Errors
/// A sentence that names the variable or the file, and shows no secret.
pub fn resolve(secret: &SecretString) -> Result<SecretString, String> {
    let text = secret.expose_secret();
    let found = if let Some(name) = text.strip_prefix("env:") {
        std::env::var(name).map_err(|_| format!("there is no variable {name} with text in it"))?
    } else if let Some(path) = text.strip_prefix("file:") {
        std::fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}"))?
    } else {
        return Ok(secret.clone());
    };
    match found.trim() {
        "" => Err(format!("{text} is empty")),
        found => Ok(SecretString::from(found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_where_the_settings_say() {
        let of = |text: &str| {
            let found = resolve(&SecretString::from(text));
            found.map(|it| it.expose_secret().to_owned())
        };
        assert_eq!(of("whsec_abc"), Ok("whsec_abc".to_owned()));
        let path = std::env::temp_dir().join(format!("ringback-secret-{}", std::process::id()));
        let named = format!("file:{}", path.display());
        assert!(of(&named).unwrap_err().starts_with("cannot read /"));
        std::fs::write(&path, " whsec_def\n").unwrap();
        assert_eq!(of(&named), Ok("whsec_def".to_owned()));
        std::fs::write(&path, "\n").unwrap();
        assert!(of(&named).unwrap_err().ends_with("is empty"));
        std::fs::remove_file(path).unwrap();
        let missing = of("env:RINGBACK_NO_SUCH_VARIABLE").unwrap_err();
        assert!(missing.contains("RINGBACK_NO_SUCH_VARIABLE"), "{missing}");
        assert!(of("env:CARGO_MANIFEST_DIR").is_ok());
    }
}
