//! Makes a data directory of a backup.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use broker::embedded::{RestoredDirectory, check_queue_version};
use journal::Journal;

use super::manifest::{BackupFile, Manifest, QUEUE, SPOOL};
use super::{CopyProgress, copy_hashed};

/// Restores a backup into an empty data directory and its spool.
///
/// # Errors
/// A sentence: the backup is damaged or of a newer version, or the directory is not empty or in use.
pub(crate) fn restore(
    from: &Path,
    data_dir: &Path,
    spool: &Path,
    progress: &mut CopyProgress,
) -> Result<Manifest, String> {
    let manifest = Manifest::read(from)?;
    for file in &manifest.files {
        verify(from, file)?;
        progress.show(&file.name, file.bytes, file.bytes);
    }
    check_queue_version(&from.join(QUEUE))?;
    Journal::check(from)?;
    let directory = RestoredDirectory::begin(data_dir)?;
    for file in &manifest.files {
        let copied = copy(from, file, &directory, spool);
        let intact = copied.map_err(|error| {
            format!(
                "{} cannot be copied to {}: {error}",
                from.join(&file.name).display(),
                data_dir.display()
            )
        })?;
        if !intact {
            return Err(changed(from, file));
        }
        progress.show(&file.name, file.bytes, file.bytes);
    }
    let finished = directory.finish();
    finished.map_err(|error| format!("{} cannot be written: {error}", data_dir.display()))?;
    Ok(manifest)
}

/// Refuses a file that is not the one that was backed up.
fn verify(from: &Path, file: &BackupFile) -> Result<(), String> {
    let path = from.join(file.path()?);
    let read = File::open(&path).and_then(|mut file| copy_hashed(&mut file, &mut io::sink()));
    let read = read.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    match file.is(&read) {
        true => Ok(()),
        false => Err(changed(from, file)),
    }
}

fn changed(from: &Path, file: &BackupFile) -> String {
    format!(
        "{} is damaged: its size or SHA-256 is not that of the manifest; use another backup",
        from.join(&file.name).display()
    )
}

/// Returns whether it is what was backed up.
fn copy(
    from: &Path,
    file: &BackupFile,
    directory: &RestoredDirectory,
    spool: &Path,
) -> io::Result<bool> {
    let name = file.path().map_err(io::Error::other)?;
    let mut source = File::open(from.join(&name))?;
    let mut target = match name.strip_prefix(SPOOL) {
        Ok(spooled) => create_spooled(&spool.join(spooled), directory)?,
        Err(_) => directory.create(&name)?,
    };
    let copied = copy_hashed(&mut source, &mut target)?;
    target.sync_all()?;
    Ok(file.is(&copied))
}

fn create_spooled(path: &Path, directory: &RestoredDirectory) -> io::Result<File> {
    let parent = path.parent().unwrap_or(path);
    let spool = parent.parent().unwrap_or(parent);
    for directory_of_spool in [spool, parent] {
        match DirBuilder::new().mode(0o700).create(directory_of_spool) {
            Ok(()) => directory.own(directory_of_spool)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    let mut options = File::options();
    let file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    directory.own(path)?;
    for directory_of_spool in [parent, spool] {
        File::open(directory_of_spool)?.sync_all()?;
    }
    Ok(file)
}

impl BackupFile {
    fn is(&self, (bytes, sha256): &(u64, String)) -> bool {
        self.bytes == *bytes && self.sha256 == *sha256
    }
}
