//! The journal's file and its connections.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::clock::JournalClock;
use super::schema;
use super::worker::ConnectionWorker;

const FILE: &str = "journal.db";

/// The journal in a file. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SqliteJournal {
    pub(super) writer: ConnectionWorker,
    /// Reads single callbacks, for dispatchers: must be fast.
    pub(super) reader: ConnectionWorker,
    /// Reads many callbacks, for people: may be slow.
    pub(super) lister: ConnectionWorker,
    /// Counts leases, and the age of idempotency keys.
    pub(super) clock: Arc<JournalClock>,
}

impl SqliteJournal {
    pub(crate) fn file_in(directory: &Path) -> PathBuf {
        directory.join(FILE)
    }

    pub(crate) fn check(directory: &Path) -> Result<(), String> {
        let file = directory.join(FILE);
        schema::check(&file).map_err(|reason| format!("{}: {reason}", file.display()))
    }

    pub(crate) fn open(directory: &Path, clock: JournalClock) -> Result<Self, String> {
        let file = directory.join(FILE);
        let open = || {
            let writer = schema::open_writer(&file)?;
            let reader = || {
                let connection = schema::open_reader(&file)?;
                ConnectionWorker::reader(connection).map_err(|error| error.to_string())
            };
            let (reader, lister) = (reader()?, reader()?);
            let writer = ConnectionWorker::writer(writer).map_err(|error| error.to_string())?;
            Ok(Self {
                writer,
                reader,
                lister,
                clock: Arc::new(clock),
            })
        };
        open().map_err(|reason: String| {
            format!("the journal {} cannot be opened: {reason}", file.display())
        })
    }
}
