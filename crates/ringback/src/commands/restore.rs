//! `ringback restore`: makes a data directory of a backup.

use std::path::PathBuf;

use admin::cli::stdout::print_line;

use super::backup::{data_dir, spool};
use crate::app::settings::Settings;
use crate::backup::{CopyProgress, restore};
use crate::error::CommandError;

/// Arguments of `ringback restore`.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// A backup that `ringback backup` has made.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The data directory, which must be empty; without it, the one of broker.data_dir.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Restores a backup, and says what was in it.
///
/// # Errors
/// Why it was not restored.
pub(super) fn run(args: &RestoreArgs, settings: &Settings) -> Result<(), CommandError> {
    let data_dir = data_dir(args.data_dir.as_deref(), settings, "restore")?;
    let spool = spool(data_dir, settings);
    let from = &args.directory;
    let restored = restore(from, data_dir, &spool, &mut CopyProgress::new());
    let manifest = restored.map_err(CommandError::Failed)?;
    Ok(print_line(&format!(
        "restored {} from {}: {manifest}",
        data_dir.display(),
        from.display()
    ))?)
}
