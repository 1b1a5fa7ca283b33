//! `ringback backup`: copies a data directory while its process runs.

use std::path::{Path, PathBuf};

use admin::cli::stdout::print_line;
use runtime::ConfigError;

use crate::app::settings::Settings;
use crate::backup::{CopyProgress, save};
use crate::error::CommandError;

/// Arguments of `ringback backup`.
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// Where the backup goes: a new or empty directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// The data directory; without it, the one of broker.data_dir.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Makes a backup, and says what is in it.
///
/// # Errors
/// Why there is none.
pub(super) fn run(args: &BackupArgs, settings: &Settings) -> Result<(), CommandError> {
    let data_dir = data_dir(args.data_dir.as_deref(), settings, "backup")?;
    let spool = spool(data_dir, settings);
    let min_free = settings.broker.min_free_bytes;
    let target = &args.directory;
    let saved = save(data_dir, &spool, target, min_free, &mut CopyProgress::new());
    let manifest = saved.map_err(CommandError::Failed)?;
    Ok(print_line(&format!(
        "backed up {} in {}: {manifest}",
        data_dir.display(),
        target.display()
    ))?)
}

/// The data directory of the command line or of the settings.
pub(super) fn data_dir<'a>(
    named: Option<&'a Path>,
    settings: &'a Settings,
    command: &str,
) -> Result<&'a Path, ConfigError> {
    named
        .or(settings.broker.data_dir.as_deref())
        .ok_or_else(|| {
            let reason = format!("it is not set, and {command} needs it (or --data-dir DIR)");
            ConfigError::refused("broker.data_dir", reason)
        })
}

/// Where the records of this data directory are spooled.
pub(super) fn spool(data_dir: &Path, settings: &Settings) -> PathBuf {
    let spool = settings.journal.spool_directory(Some(data_dir));
    spool.unwrap_or_else(|| data_dir.to_owned())
}
