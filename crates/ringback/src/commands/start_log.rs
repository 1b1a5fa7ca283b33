//! What a role logs when it has started.

use runtime::Config as _;

use crate::app::settings::Settings;

/// Logs the effective settings: kilobytes, so at `debug` alone. `ringback config` prints them too.
pub(super) fn log_settings(settings: &Settings) {
    tracing::debug!(settings = settings.to_toml_redacted(), "effective settings");
}
