//! Makes a backup of a data directory, while its process runs or not.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use broker::embedded::{DatabaseSnapshot, DirectorySnapshot, free_bytes};
use journal::Journal;

use super::manifest::{BackupFile, Manifest, SPOOL};
use super::spool::{self, SpoolFile};
use super::{CopyProgress, copy_hashed};

/// Backs up a data directory, and the spool of its records, into a new or empty directory.
/// `min_free`: so much stays free on the disk of the data directory.
///
/// # Errors
/// A sentence. What was written is removed then.
pub(crate) fn save(
    data_dir: &Path,
    spool: &Path,
    target: &Path,
    min_free: u64,
    progress: &mut CopyProgress,
) -> Result<Manifest, String> {
    let journal = Some(Journal::file_in(data_dir)).filter(|file| file.exists());
    let beside: Vec<&Path> = journal.as_deref().into_iter().collect();
    let mut taken_at = None;
    let open_spool = || {
        taken_at = Some(SystemTime::now());
        spool::open_files(spool)
            .map_err(|error| format!("the spool {} cannot be read: {error}", spool.display()))
    };
    let (snapshot, spooled) = DirectorySnapshot::open(data_dir, &beside, open_spool)?;
    let created = create_empty(target)?;
    let taken_at = humantime::format_rfc3339_millis(taken_at.unwrap_or(SystemTime::UNIX_EPOCH));
    let mut written = Written(Vec::new());
    let saved = refuse_full_disk(&snapshot, data_dir, target, min_free)
        .and_then(|()| copy_all(&snapshot, spooled, target, &mut written, progress))
        .and_then(|files| {
            let manifest = Manifest::new(taken_at.to_string(), files);
            let sync = || {
                manifest.write(target)?;
                sync(target)?;
                target.parent().map_or(Ok(()), sync)
            };
            sync().map_err(|error| format!("{} cannot be written: {error}", target.display()))?;
            Ok(manifest)
        });
    if saved.is_err() {
        written.remove();
        if created {
            let _ = fs::remove_dir(target);
        }
    }
    saved
}

/// Creates the directory, or finds it empty. Returns whether it was created.
fn create_empty(target: &Path) -> Result<bool, String> {
    let shown = target.display();
    let unusable = |error: io::Error| format!("{shown} cannot be used: {error}");
    let created = DirBuilder::new().mode(0o700).create(target);
    match created {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(error)),
    }
    let mut entries = fs::read_dir(target).map_err(unusable)?;
    match entries.next() {
        None => Ok(false),
        Some(_) => Err(format!(
            "{shown} is not empty: name a new directory for each backup"
        )),
    }
}

/// A backup must not stop the gateway by filling its disk.
fn refuse_full_disk(
    snapshot: &DirectorySnapshot,
    data_dir: &Path,
    target: &Path,
    min_free: u64,
) -> Result<(), String> {
    let look = || {
        let same = fs::metadata(data_dir)?.dev() == fs::metadata(target)?.dev();
        Ok((free_bytes(target)?, if same { min_free } else { 0 }))
    };
    let (free, kept) = look().map_err(|error: io::Error| {
        let shown = target.display();
        format!("the free space of {shown} cannot be read: {error}")
    })?;
    let needed: u64 = snapshot.databases().map(DatabaseSnapshot::bytes).sum();
    if free >= needed + kept {
        return Ok(());
    }
    Err(format!(
        "the backup takes {needed} bytes and {kept} must stay free (broker.min_free_bytes), but \
         {} has {free}: choose another disk",
        target.display()
    ))
}

fn copy_all(
    snapshot: &DirectorySnapshot,
    spooled: Vec<SpoolFile>,
    target: &Path,
    written: &mut Written,
    progress: &mut CopyProgress,
) -> Result<Vec<BackupFile>, String> {
    let mut files = Vec::new();
    for database in snapshot.databases() {
        let name = database.file().file_name().unwrap_or_default();
        let (path, name) = (target.join(name), name.display().to_string());
        written.add(&path);
        let show = &mut |done| progress.show(&name, done, database.bytes());
        database.copy_to(&path, show)?;
        let read = File::open(&path).and_then(|mut file| copy_hashed(&mut file, &mut io::sink()));
        let (bytes, sha256) =
            read.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        files.push(BackupFile {
            name,
            bytes,
            sha256,
            schema: Some(database.schema()),
        });
    }
    for mut file in spooled {
        let name = Path::new(SPOOL).join(&file.path);
        let path = target.join(&name);
        let copied = copy_spooled(&mut file, &path, written);
        let (bytes, sha256) =
            copied.map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        files.push(BackupFile {
            name: name.display().to_string(),
            bytes,
            sha256,
            schema: None,
        });
    }
    Ok(files)
}

fn copy_spooled(
    file: &mut SpoolFile,
    path: &Path,
    written: &mut Written,
) -> io::Result<(u64, String)> {
    let directory = path.parent().unwrap_or(path);
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory)?;
    for directory in [directory.parent().unwrap_or(directory), directory] {
        written.add(directory);
    }
    written.add(path);
    let mut options = File::options();
    let mut copy = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let copied = copy_hashed(&mut file.content(), &mut copy)?;
    copy.sync_all()?;
    sync(directory)?;
    sync(directory.parent().unwrap_or(directory))?;
    Ok(copied)
}

fn sync(directory: &Path) -> io::Result<()> {
    let directory = match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    };
    File::open(directory)?.sync_all()
}

/// What a backup has written so far.
struct Written(Vec<PathBuf>);

impl Written {
    fn add(&mut self, path: &Path) {
        self.0.push(path.to_owned());
    }

    /// Removes it, as far as that is possible.
    fn remove(self) {
        for path in self.0.into_iter().rev() {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
    }
}
