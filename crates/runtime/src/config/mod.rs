//! Settings: defaults, then the TOML file, then the environment (`RINGBACK__SECTION__KEY`). The
//! later layer wins, key by key.
//!
//! The caller's type defines the settings ([`Config`]). An unknown key or a bad value prevents the
//! start, with one sentence that names it.
//!
//! - `schema.rs`: the trait of the caller's settings
//! - `source.rs`: reads and merges the layers, and finds which of them set a value
//! - `environment.rs`, `variable.rs`: the environment as a layer, and the variable of a key
//! - `deserialize.rs`: the merged values as any serde type, strictly
//! - `error.rs`: why settings cannot be used
//! - `redact.rs`: settings as TOML for people, secrets masked
//! - `resolved_reference.rs`: a secret that stands elsewhere, as it is shown
//! - `secret_ref.rs`: a secret, or the variable or file that holds it
//! - `secret_setting.rs`: which settings are secret; reads the variables and files that they name
//! - `range.rs`: range checks
//! - `fingerprint.rs`: finds changes since settings were read

mod deserialize;
mod environment;
mod error;
mod fingerprint;
mod range;
mod redact;
mod resolved_reference;
mod schema;
mod secret_ref;
mod secret_setting;
mod source;
mod variable;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use environment::environment;
pub use error::ConfigError;
pub(crate) use fingerprint::{FileFingerprints, KeyFingerprints};
pub use range::{duration_in_range, duration_text, in_range};
pub use redact::{mask_secret, mask_text, mask_texts, mask_url, masked_url};
pub use schema::Config;
pub use secret_ref::SecretRef;
pub use secret_setting::{SecretForm, SecretSetting};
pub use source::{Loaded, SettingOrigin, SettingsShown, Source};
pub use variable::NamedSection;

/// Loads and checks the settings: defaults, then `file`, then `variables`.
///
/// Variables that do not begin with `RINGBACK__` are ignored.
///
/// # Errors
/// One sentence naming the file, the key or the variable that cannot be used.
pub fn load<T: Config>(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    Source::new(file.map(Path::to_owned), variables)
        .load()
        .map(|loaded| loaded.settings)
}
