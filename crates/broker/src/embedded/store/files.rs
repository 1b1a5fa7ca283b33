//! Notices that the files of the queue were removed or replaced while the process writes them.
//!
//! A process goes on writing a file that was removed: nothing fails, and the next start finds none
//! of it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The device and the inode of a file.
type FileId = (u64, u64);

/// The files that the process holds open.
#[derive(Debug)]
pub(in crate::embedded) struct DataFiles {
    directory: PathBuf,
    files: Vec<(PathBuf, Option<FileId>)>,
    /// The file that is gone.
    gone: Option<PathBuf>,
}

impl DataFiles {
    /// The files as they are now. One that is missing is added when it first appears: the log.
    pub(in crate::embedded) fn new(directory: &Path, files: Vec<PathBuf>) -> Self {
        let mut this = Self {
            directory: directory.to_owned(),
            files: files.into_iter().map(|file| (file, None)).collect(),
            gone: None,
        };
        this.look();
        this
    }

    /// Whether each path still leads to the file that is written. Three calls of `stat`.
    pub(super) fn look(&mut self) -> bool {
        let mut gone = None;
        for (file, known) in &mut self.files {
            let found = match fs::metadata(&*file) {
                Ok(metadata) => Some((metadata.dev(), metadata.ino())),
                Err(error) if is_gone(&error) => None,
                Err(_) => *known, // Not known.
            };
            match known {
                Some(_) if *known == found => {}
                Some(_) => gone = gone.or(Some(&*file)),
                None => *known = found,
            }
        }
        let (was_gone, gone) = (self.gone.is_some(), gone.cloned());
        self.gone = gone;
        match &self.gone {
            Some(file) if !was_gone => tracing::error!(
                file = %file.display(),
                "new callbacks are refused: a file of the data directory was removed or replaced"
            ),
            None if was_gone => {
                tracing::info!("new callbacks are accepted again: the data directory is back");
            }
            Some(_) | None => {}
        }
        self.gone.is_none()
    }

    /// Why new callbacks are refused, if they are.
    pub(super) fn refusal(&self) -> Option<String> {
        self.gone.as_ref().map(|file| {
            format!(
                "new callbacks are refused, because {} was removed or replaced while this process \
                 writes it: the next start would not find them. Put the directory {} back, or let \
                 what was accepted be delivered and then restart",
                file.display(),
                self.directory.display()
            )
        })
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_removed_or_replaced_is_noticed_until_it_is_back() {
        let name = format!("ringback-files-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let moved = directory.with_extension("moved");
        fs::create_dir_all(&directory).unwrap();
        let [database, log] = ["queue.db", "queue.db-wal"].map(|file| directory.join(file));
        fs::write(&database, "").unwrap();
        let mut files = DataFiles::new(&directory, vec![database.clone(), log.clone()]);
        assert!(files.look());
        fs::write(&log, "").unwrap();
        assert!(files.look());
        // Removed, and replaced by others.
        fs::rename(&directory, &moved).unwrap();
        assert!(!files.look());
        let refusal = files.refusal().unwrap();
        assert!(refusal.contains("queue.db"), "{refusal}");
        fs::create_dir(&directory).unwrap();
        fs::write(&database, "").unwrap();
        fs::write(&log, "").unwrap();
        assert!(!files.look());
        fs::remove_dir_all(&directory).unwrap();
        fs::rename(&moved, &directory).unwrap();
        assert!(files.look());
        assert_eq!(files.refusal(), None);
        fs::remove_file(&log).unwrap();
        assert!(!files.look());
        fs::remove_dir_all(&directory).unwrap();
    }
}
