//! `ringback migrate`: creates or upgrades the journal's tables.

use admin::cli::stdout::print_line;

use crate::app::config_check::{journal_location, require_shared_journal};
use crate::app::settings::Settings;
use crate::error::CommandError;

/// Migrates the journal.
///
/// # Errors
/// Settings that name no journal, or a database that cannot be reached or changed.
pub(super) async fn run(settings: &Settings) -> Result<(), CommandError> {
    require_shared_journal(settings, "migrate")?;
    let Some(location) = journal_location(settings, None)? else {
        return Ok(()); // Unreachable: refused above.
    };
    let journal = location.open(None)?;
    let migrated = journal.migrate().await;
    journal.close().await;
    migrated.map_err(|error| CommandError::Failed(error.to_string()))?;
    Ok(print_line("the journal's tables are up to date")?)
}
