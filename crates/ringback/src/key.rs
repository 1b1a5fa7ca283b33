//! How does an operator get a new key, and the settings that go with it?

use boot::chance::secret_bytes;
use delivery::callers::{KeyHash, Secret};

use crate::failure::Failure;

/// A key, token or secret of 256 random bits, and its settings.
///
/// # Errors
/// When the system gives no random bytes.
pub(crate) fn new(name: &str, hmac: bool, admin: bool) -> Result<String, Failure> {
    let bytes: [u8; 32] = secret_bytes()?;
    let name = serde_json::Value::from(name);
    if hmac {
        let secret = Secret::text(&bytes);
        return Ok(format!(
            "# For the caller, and into the settings (or a file that only the gateway can read: file:/path)\n\
             [apps.{name}]\nsecrets = [\"{secret}\"]"
        ));
    }
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let key = format!("rbk_{digits}");
    let hash = KeyHash::of(key.as_bytes());
    let settings = if admin {
        format!("[admin.tokens.{name}]\nhash = \"{hash}\"\nrole = \"read\" # or replay, configure")
    } else {
        format!("[apps.{name}]\nkeys = [\"{hash}\"]")
    };
    Ok(format!(
        "# For its bearer alone: {key}\n# Into the settings:\n{settings}"
    ))
}

#[cfg(test)]
mod tests {
    use boot::Settings;

    use super::*;

    #[test]
    fn what_is_printed_can_be_put_into_the_settings_as_it_is() {
        let file = std::env::temp_dir().join(format!("ringback-key-{}.toml", std::process::id()));
        for (hmac, admin) in [(false, false), (true, false), (false, true)] {
            let printed = new("a \"b\"", hmac, admin).unwrap();
            std::fs::write(&file, format!("[auth]\nmode = \"bearer\"\n{printed}")).unwrap();
            let settings = Settings::load(Some(&file), std::iter::empty()).unwrap();
            let callers = crate::equipment::callers(&settings, "test").unwrap();
            if !hmac && !admin {
                let (_, key) = printed.lines().next().unwrap().split_once(": ").unwrap();
                let bearer = format!("Bearer {key}");
                assert_eq!(callers.bearer(Some(&bearer)).unwrap().id, "a \"b\"");
            }
        }
        std::fs::remove_file(file).unwrap();
    }
}
