//! What is in a backup: `manifest.json`, written last.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A directory without this file is no backup, or not a whole one.
pub(super) const MANIFEST_FILE: &str = "manifest.json";
/// The only format so far.
const FORMAT: u32 = 1;
/// The directory of the spooled records within a backup.
pub(super) const SPOOL: &str = "spool";
pub(super) const QUEUE: &str = "queue.db";
const DATABASES: [&str; 2] = [QUEUE, "journal.db"];

/// What is in a backup.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    format: u32,
    /// The version of the program that made it.
    ringback: String,
    /// The moment of which it tells, RFC 3339.
    pub(super) taken_at: String,
    pub(super) files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BackupFile {
    /// Its path in the backup.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
    /// The version of a database's tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<i64>,
}

impl Manifest {
    pub(super) fn new(taken_at: String, files: Vec<BackupFile>) -> Self {
        Self {
            format: FORMAT,
            ringback: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at,
            files,
        }
    }

    /// Writes it, synced.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let mut options = File::options();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(directory.join(MANIFEST_FILE))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// A sentence: there is none, or this program cannot use it.
    pub(super) fn read(directory: &Path) -> Result<Self, String> {
        let file = directory.join(MANIFEST_FILE);
        let shown = file.display();
        let text = fs::read(&file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                format!("{shown} does not exist: the directory is no backup, or not a whole one")
            }
            _ => format!("{shown} cannot be read: {error}"),
        })?;
        let damaged = |reason: &dyn fmt::Display| format!("{shown} is damaged: {reason}");
        // Only this field is sure to be there in another format.
        let value: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| damaged(&error))?;
        match value.get("format").and_then(serde_json::Value::as_u64) {
            Some(format) if format > u64::from(FORMAT) => {
                return Err(format!(
                    "{shown} has format {format}, this program knows {FORMAT}: a newer ringback \
                     made the backup; restore it with that version or a newer one"
                ));
            }
            Some(_) => {}
            None => return Err(damaged(&"it names no format")),
        }
        let manifest: Self = serde_json::from_value(value).map_err(|error| damaged(&error))?;
        for file in &manifest.files {
            file.path().map_err(|reason| damaged(&reason))?;
        }
        if !manifest.files.iter().any(|file| file.name == QUEUE) {
            return Err(damaged(&format!("it names no {QUEUE}")));
        }
        Ok(manifest)
    }
}

impl BackupFile {
    /// Its path in the backup, which never leads out of it.
    pub(super) fn path(&self) -> Result<PathBuf, String> {
        let path = Path::new(&self.name);
        let plain = |part| matches!(part, Component::Normal(_));
        let parts = path.components().count();
        let known = DATABASES.contains(&&*self.name) || (path.starts_with(SPOOL) && parts == 3);
        if known && path.components().all(plain) {
            return Ok(path.to_owned());
        }
        Err(format!("it names the file {:?}", self.name))
    }
}

/// For people.
impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let databases = self.files.iter().filter(|file| file.schema.is_some());
        for file in databases {
            write!(f, "{} ({}), ", file.name, size(file.bytes))?;
        }
        let spooled = self.files.iter().filter(|file| file.schema.is_none());
        write!(f, "{} files of the spool, ", spooled.count())?;
        write!(f, "as of {}", self.taken_at)
    }
}

/// A size for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes >> 20 {
        0 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        mebibytes => format!("{mebibytes} MiB"),
    }
}
