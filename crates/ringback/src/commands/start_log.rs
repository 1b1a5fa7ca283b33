//! What a role logs when it has started.

use runtime::Loaded;

use crate::app::settings::Settings;

/// Logs the effective settings: kilobytes, so at `debug` alone. `ringback config` prints them too.
pub(super) fn log_settings(loaded: &Loaded<Settings>) {
    tracing::debug!(settings = loaded.to_toml_redacted(), "effective settings");
}
