//! `ringback config`: checks the settings and prints the effective ones.

use admin::cli::stdout::print_line;
use runtime::Loaded;

use crate::app::config_check::check_start;
use crate::app::settings::Settings;
use crate::error::CommandError;

/// Checks all that a start checks without a connection, and prints the settings with masked secrets.
///
/// # Errors
/// The first key whose value cannot be used.
pub(super) async fn run(loaded: &Loaded<Settings>) -> Result<(), CommandError> {
    check_start(&loaded.settings)?;
    Ok(print_line(loaded.to_toml_redacted().trim_end())?)
}
