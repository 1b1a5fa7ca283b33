//! Checks a SQLite file before it is opened, so that damage stops the start instead of losing what
//! was accepted.
//!
//! - `log.rs`: the write-ahead log.
//! - `file.rs`: whether the file has all its pages.
//! - `quick.rs`: SQLite's own check, within a bounded time.

mod file;
mod log;
mod quick;

use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use file::FileHeader;
use log::LogScan;

/// Checks a database of the data directory and its write-ahead log. Call it with the directory
/// locked and before the file is opened: a log that another connection writes would look damaged,
/// and closing a file drops the locks that SQLite has on it in this process.
///
/// A missing file is no error, unless its log is there.
///
/// # Errors
/// What is wrong, and what to do; the file is named.
pub fn check_database(database: &Path) -> Result<(), String> {
    let shown = database.display();
    let log_file = log_of(database);
    let unreadable = |error: io::Error| format!("{shown} cannot be read: {error}");
    let length = length_of(database).map_err(unreadable)?;
    let header = FileHeader::read(database).map_err(unreadable)?;
    let file_pages = header.pages_in(length);
    let scan = match File::open(&log_file) {
        Ok(log) => log::scan(BufReader::new(log), header.page_bytes, file_pages),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(LogScan::default()),
        Err(error) => Err(error),
    };
    let scan = scan.map_err(|error| format!("{} cannot be read: {error}", log_file.display()))?;
    refuse_lost_commits(&log_file, &scan)?;
    if length == 0 {
        return match scan.committed_frames {
            0 => Ok(()),
            // SQLite would delete the log.
            frames => Err(format!(
                "{shown} is missing or empty, but {} holds {frames} frames that belong to it: \
                 {RESTORE}",
                log_file.display()
            )),
        };
    }
    let missing = header.missing_pages(file_pages, &scan);
    if missing > 0 {
        return Err(format!(
            "{shown} is cut off: {missing} of its pages are missing, and its write-ahead log does \
             not hold them: {RESTORE}"
        ));
    }
    quick::check(database).map_err(|reason| format!("{shown} is damaged ({reason}): {RESTORE}"))
}

/// What to do with a database that is damaged.
const RESTORE: &str = "keep a copy of the data directory, then restore a backup or recover the \
                       file (runbook: the data directory is damaged)";

fn refuse_lost_commits(log_file: &Path, scan: &LogScan) -> Result<(), String> {
    let Some(lost) = scan.lost else {
        return Ok(());
    };
    let (shown, commits, intact) = (log_file.display(), lost.commits, scan.intact_bytes);
    let bad = match lost.bad_frame {
        0 => "its header is damaged".to_owned(),
        frame => format!("its frame {frame} is damaged"),
    };
    Err(format!(
        "the write-ahead log {shown} has lost what was accepted: {bad}, and SQLite would drop the \
         {commits} commits behind it: keep a copy of the data directory, then restore a backup; or \
         start without these commits after `truncate -s {intact} {shown}` (runbook: the data \
         directory is damaged)"
    ))
}

/// The write-ahead log of a database.
pub(super) fn log_of(database: &Path) -> PathBuf {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// In bytes; 0 for a missing file.
fn length_of(file: &Path) -> io::Result<u64> {
    match std::fs::metadata(file) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
