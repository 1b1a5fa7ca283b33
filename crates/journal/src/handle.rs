//! A journal together with the recorder that writes to it.

use crate::config::Keep;
use crate::journal::Journal;
use crate::recorder::Recorder;

/// The journal of a process: one to read from, and the recorder through which it is written.
#[derive(Clone, Debug)]
pub struct JournalHandle {
    /// Reads, cancels, replays and so on.
    pub journal: Journal,
    /// Collects records. They may travel through a queue before they reach `journal`.
    pub recorder: Recorder,
    /// What records carry beside what happened.
    pub keep: Keep,
}

impl JournalHandle {
    /// Writes what is buffered, then closes the journal.
    pub async fn close(&self) {
        self.recorder.close().await;
        self.journal.close().await;
    }
}
