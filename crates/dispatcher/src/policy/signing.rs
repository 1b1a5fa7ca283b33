//! Signing secrets of apps and callees.

use delivery::signature::Signer;
use runtime::{ConfigError, SecretRef};
use secrecy::ExposeSecret;
use std::sync::Arc;

/// Reads the signing secrets of a section. `None`: there are none, and nothing is signed.
///
/// # Errors
/// When one cannot be read, or is not a signing secret.
pub(super) fn read(
    section: &str,
    secrets: &[SecretRef],
) -> Result<Option<Arc<Signer>>, ConfigError> {
    let key = format!("{section}.signing_secrets");
    let read = |secret: &SecretRef| {
        let value = secret.read();
        value.map_err(|reason| ConfigError::refused(&key, reason))
    };
    let values: Vec<_> = secrets.iter().map(read).collect::<Result<_, _>>()?;
    if values.is_empty() {
        return Ok(None);
    }
    let signing = Signer::parse(values.iter().map(ExposeSecret::expose_secret));
    let signing = signing.map_err(|error| ConfigError::refused(&key, error))?;
    Ok(Some(Arc::new(signing)))
}
