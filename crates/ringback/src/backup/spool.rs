//! Records in the spool: on their way to the journal while it cannot take them.
//!
//! Its files are opened while the queue is held, and before the snapshot of the journal: what leaves the
//! spool afterwards is in that snapshot, and what comes afterwards is of no message that has ended in
//! the queue's. A file that is removed can still be read while it is open.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

const LOCK_FILE: &str = "lock";

/// A file of the spool, open.
#[derive(Debug)]
pub(super) struct SpoolFile {
    /// Its path within the spool's directory.
    pub(super) path: PathBuf,
    file: File,
    /// Its length when it was opened.
    bytes: u64,
}

impl SpoolFile {
    /// What was in it when it was opened.
    pub(super) fn content(&mut self) -> impl Read {
        let bytes = self.bytes;
        Read::by_ref(&mut self.file).take(bytes)
    }
}

/// Opens all files of the spool; none where there is no spool.
pub(super) fn open_files(spool: &Path) -> io::Result<Vec<SpoolFile>> {
    let mut files = Vec::new();
    for directory in entries(spool)? {
        if !directory.is_dir() {
            continue;
        }
        for path in entries(&directory)? {
            if path.file_name().is_some_and(|name| name == LOCK_FILE) {
                continue;
            }
            let Some(file) = if_there(File::open(&path))? else {
                continue; // Its records are in the journal now.
            };
            files.push(SpoolFile {
                bytes: file.metadata()?.len(),
                path: path.strip_prefix(spool).unwrap_or(&path).to_owned(),
                file,
            });
        }
    }
    Ok(files)
}

fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(found) = if_there(fs::read_dir(directory))? else {
        return Ok(Vec::new());
    };
    found.map(|entry| Ok(entry?.path())).collect()
}

fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
