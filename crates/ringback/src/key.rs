//! How does an operator get a new key, and the settings that go with it?

use boot::chance::secret_bytes;
use delivery::callers::{KeyHash, Secret};

use crate::failure::Failure;

/// What `ringback key` was asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Asked {
    /// Whose it is: an app's id, or with --admin the name of an operator.
    pub(crate) name: String,
    /// A secret to sign requests with (auth.mode = "hmac"), in place of a key.
    #[arg(long, conflicts_with = "admin")]
    hmac: bool,
    /// A secret that signs what its targets get, in place of a key.
    #[arg(long, conflicts_with_all = ["admin", "hmac"])]
    signing: bool,
    /// A token for the operators' API, in place of an app's key.
    #[arg(long)]
    admin: bool,
}

impl Asked {
    /// What is to be made.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self { hmac: true, .. } => Kind::Hmac,
            Self { signing: true, .. } => Kind::Signing,
            Self { admin: true, .. } => Kind::Admin,
            _ => Kind::Bearer,
        }
    }
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Shown by an app with each request.
    Bearer,
    /// Signs an app's requests.
    Hmac,
    /// Signs what an app's targets get.
    Signing,
    /// Shown by an operator.
    Admin,
}

/// A key, token or secret of 256 random bits, and its settings.
///
/// # Errors
/// When the system gives no random bytes.
pub(crate) fn new(name: &str, kind: Kind) -> Result<String, Failure> {
    let bytes: [u8; 32] = secret_bytes()?;
    let name = serde_json::Value::from(name);
    let (whom, key, inside) = match kind {
        Kind::Hmac => ("caller", "secrets", format!("[apps.{name}]")),
        Kind::Signing => ("targets", "signing_secrets", format!("[apps.{name}]")),
        Kind::Bearer | Kind::Admin => return Ok(shown(&name, &bytes, kind)),
    };
    let secret = Secret::text(&bytes);
    let also = match kind {
        Kind::Signing => " # of a callee: [callees.NUMBER]",
        _ => "",
    };
    Ok(format!(
        "# For the {whom}, and into the settings (or a file that only the gateway can read: file:/path)\n\
         {inside}{also}\n{key} = [\"{secret}\"]"
    ))
}

/// What is shown as it is, and known by its hash.
fn shown(name: &serde_json::Value, bytes: &[u8], kind: Kind) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("rbk_{digits}");
    let hash = KeyHash::of(key.as_bytes());
    let settings = if kind == Kind::Admin {
        format!("[admin.tokens.{name}]\nhash = \"{hash}\"\nrole = \"read\" # or replay, configure")
    } else {
        format!("[apps.{name}]\nkeys = [\"{hash}\"]")
    };
    format!("# For its bearer alone: {key}\n# Into the settings:\n{settings}")
}

#[cfg(test)]
mod tests {
    use boot::Settings;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn what_is_printed_can_be_put_into_the_settings_as_it_is() {
        let file = std::env::temp_dir().join(format!("ringback-key-{}.toml", std::process::id()));
        for kind in [Kind::Bearer, Kind::Hmac, Kind::Signing, Kind::Admin] {
            let printed = new("a \"b\"", kind).unwrap();
            std::fs::write(&file, format!("[auth]\nmode = \"bearer\"\n{printed}")).unwrap();
            let settings = Settings::load(Some(&file), std::iter::empty()).unwrap();
            let callers = crate::equipment::callers(&settings, "test").unwrap();
            if kind == Kind::Bearer {
                let (_, key) = printed.lines().next().unwrap().split_once(": ").unwrap();
                let bearer = format!("Bearer {key}");
                assert_eq!(callers.bearer(Some(&bearer)).unwrap().id, "a \"b\"");
            }
            if kind == Kind::Signing {
                let secret = settings.apps["a \"b\""].signing_secrets[0].read().unwrap();
                assert!(Secret::parse(secret.expose_secret()).is_ok());
            }
        }
        std::fs::remove_file(file).unwrap();
    }
}
