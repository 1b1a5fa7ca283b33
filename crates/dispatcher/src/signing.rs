//! With what are an app's or a callee's callbacks signed?

use boot::SettingsError;
use boot::settings::Reference;
use delivery::signature::Signing;
use secrecy::ExposeSecret;
use std::sync::Arc;

/// Reads the secrets that a section names; none: nothing is signed.
///
/// # Errors
/// When one cannot be read, or is no secret.
pub(crate) fn read(
    section: &str,
    secrets: &[Reference],
) -> Result<Option<Arc<Signing>>, SettingsError> {
    let key = format!("{section}.signing_secrets");
    let read = |secret: &Reference| {
        let found = secret.read();
        found.map_err(|reason| SettingsError::refused(&key, reason))
    };
    let found: Vec<_> = secrets.iter().map(read).collect::<Result<_, _>>()?;
    if found.is_empty() {
        return Ok(None);
    }
    let signing = Signing::parse(found.iter().map(ExposeSecret::expose_secret));
    let signing = signing.map_err(|flaw| SettingsError::refused(&key, flaw))?;
    Ok(Some(Arc::new(signing)))
}
