//! `ringback key`: generates a key or a secret, and prints the settings for it.

use admin::cli::stdout::print_line;
use delivery::auth::{KeyHash, Secret};
use runtime::random::secret_bytes;

use crate::error::CommandError;

/// Arguments of `ringback key`.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    /// Its owner: an app's id, or with --admin the name of an operator.
    name: String,
    /// A secret to sign requests with (auth.mode = "hmac"), instead of a key.
    #[arg(long, conflicts_with = "admin")]
    hmac: bool,
    /// A secret that signs the requests to its targets, instead of a key.
    #[arg(long, conflicts_with_all = ["admin", "hmac"])]
    signing: bool,
    /// A token for the operators' API, instead of an app's key.
    #[arg(long)]
    admin: bool,
}

impl KeyArgs {
    fn kind(&self) -> KeyKind {
        match self {
            Self { hmac: true, .. } => KeyKind::Hmac,
            Self { signing: true, .. } => KeyKind::Signing,
            Self { admin: true, .. } => KeyKind::Admin,
            _ => KeyKind::Bearer,
        }
    }
}

/// Prints a new key with the settings that accept it.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn run(args: &KeyArgs) -> Result<(), CommandError> {
    Ok(print_line(&generate(&args.name, args.kind())?)?)
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    /// Sent by an app with each request.
    Bearer,
    /// Signs an app's requests.
    Hmac,
    /// Signs the requests to an app's targets.
    Signing,
    /// Sent by an operator with each request.
    Admin,
}

/// A key, token or secret of 256 random bits, with the settings that accept it.
///
/// # Errors
/// When the system gives no random bytes.
fn generate(name: &str, kind: KeyKind) -> Result<String, CommandError> {
    let bytes: [u8; 32] = secret_bytes()?;
    let name = serde_json::Value::from(name);
    let (owner, key) = match kind {
        KeyKind::Hmac => ("caller", "secrets"),
        KeyKind::Signing => ("targets", "signing_secrets"),
        KeyKind::Bearer | KeyKind::Admin => return Ok(bearer_key(&name, &bytes, kind)),
    };
    let secret = Secret::text(&bytes);
    let callee = match kind {
        KeyKind::Signing => " # of a callee: [callees.NUMBER]",
        KeyKind::Hmac | KeyKind::Bearer | KeyKind::Admin => "",
    };
    Ok(format!(
        "# Give the secret to the {owner}, and add it to the settings (or to a file that only the gateway \
         can read: file:/path). Where the table is there already, the last line goes into it:\n\
         [apps.{name}]{callee}\n{key} = [\"{secret}\"]"
    ))
}

/// A bearer key, which the settings hold as a hash.
fn bearer_key(name: &serde_json::Value, bytes: &[u8], kind: KeyKind) -> String {
    let (key, hash) = key_and_hash(bytes);
    let settings = if kind == KeyKind::Admin {
        format!("[admin.tokens.{name}]\nhash = \"{hash}\"\nrole = \"read\" # or replay, configure")
    } else {
        format!("[apps.{name}]\nkeys = [\"{hash}\"]")
    };
    format!(
        "# The key, for its bearer only: {key}\n# The settings. Where the table is there already, the last lines go into it:\n{settings}"
    )
}

/// A bearer key of these bytes, and the hash that the settings hold.
pub(super) fn key_and_hash(bytes: &[u8]) -> (String, KeyHash) {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("rbk_{digits}");
    let hash = KeyHash::of(key.as_bytes());
    (key, hash)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::app::config_check::caller_registry;
    use crate::app::settings::Settings;

    #[test]
    fn the_printed_settings_can_be_used_as_they_are() {
        let file = std::env::temp_dir().join(format!("ringback-key-{}.toml", std::process::id()));
        for kind in [
            KeyKind::Bearer,
            KeyKind::Hmac,
            KeyKind::Signing,
            KeyKind::Admin,
        ] {
            let printed = generate("a \"b\"", kind).unwrap();
            std::fs::write(&file, format!("[auth]\nmode = \"bearer\"\n{printed}")).unwrap();
            let settings: Settings =
                runtime::config::load(Some(&file), std::iter::empty()).unwrap();
            let callers = caller_registry(&settings, "test", None).unwrap();
            if kind == KeyKind::Bearer {
                let (_, key) = printed.lines().next().unwrap().split_once(": ").unwrap();
                let bearer = format!("Bearer {key}");
                assert_eq!(callers.verify_bearer(Some(&bearer)).unwrap().id, "a \"b\"");
            }
            if kind == KeyKind::Signing {
                let secret = settings.apps["a \"b\""].signing_secrets[0].read().unwrap();
                assert!(Secret::parse(secret.expose_secret()).is_ok());
            }
        }
        std::fs::remove_file(file).unwrap();
    }
}
