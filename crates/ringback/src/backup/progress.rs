//! Says on stderr how far a long copy is.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use super::manifest::size;

/// A copy that is done earlier says nothing.
const INTERVAL: Duration = Duration::from_secs(2);

/// How far a copy is.
#[derive(Debug)]
pub(crate) struct CopyProgress {
    shown: Instant,
}

impl CopyProgress {
    pub(crate) fn new() -> Self {
        Self {
            shown: Instant::now(),
        }
    }

    /// Says that so many bytes of a file are done, unless it has just said something.
    pub(super) fn show(&mut self, what: &str, done: u64, all: u64) {
        if self.shown.elapsed() < INTERVAL {
            return;
        }
        self.shown = Instant::now();
        // A stderr that cannot be written does not stop a backup.
        let _ = writeln!(
            io::stderr().lock(),
            "ringback: {what}: {} of {}",
            size(done),
            size(all)
        );
    }
}
