//! `ringback config`: checks the settings and prints the effective ones.

use admin::cli::stdout::print_line;
use runtime::Config as _;

use crate::app::config_check::check_start;
use crate::app::settings::Settings;
use crate::error::CommandError;

/// Checks all that a start checks without a connection, and prints the settings with masked secrets.
///
/// # Errors
/// The first key whose value cannot be used.
pub(super) async fn run(settings: &Settings) -> Result<(), CommandError> {
    check_start(settings)?;
    Ok(print_line(settings.to_toml_redacted().trim_end())?)
}
