//! `ringback config`: checks the settings and prints the effective ones.

use admin::cli::stdout::print_line;
use runtime::Config as _;

use crate::app::broker::rabbitmq_settings;
use crate::app::config_check::{ValidatedConfig, caller_registry};
use crate::app::settings::Settings;
use crate::error::CommandError;

/// Checks everything that needs no connection, and prints the settings with masked secrets.
///
/// # Errors
/// The first key whose value cannot be used.
pub(super) fn run(settings: &Settings) -> Result<(), CommandError> {
    ValidatedConfig::check(settings)?;
    if settings.auth.mode.is_some() {
        caller_registry(settings, "config", None)?;
    }
    if settings.broker.url.is_some() {
        rabbitmq_settings(&settings.broker, "config")?;
    }
    Ok(print_line(settings.to_toml_redacted().trim_end())?)
}
