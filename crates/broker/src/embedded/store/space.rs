//! Keeps space free on the disk of the data directory: below the floor it refuses new callbacks.
//!
//! Everything else still moves: follow-ups take the pages of their originals, and records for the
//! journal and the write-ahead logs have what the floor keeps free. What is removed from `queue.db`
//! leaves pages that new messages take first; the file does not shrink. So such pages count as
//! free, but for half of the floor, which must be free on the disk itself.

use crate::embedded::check::log_of;
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// What the store's thread knows of the disk.
#[derive(Debug)]
pub(in crate::embedded) struct DiskSpace {
    directory: PathBuf,
    log_file: PathBuf,
    /// `broker.min_free_bytes`.
    floor: u64,
    /// New callbacks are refused.
    low: bool,
    /// The free space could not be read, and that was logged.
    unknown: bool,
    /// The last free space, for metrics.
    free: watch::Sender<Option<u64>>,
}

/// The bytes that are free for us on the disk of a directory.
///
/// # Errors
/// When the system does not tell.
pub fn free_bytes(directory: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(directory)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// One look at the disk. In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpaceSeen {
    /// Free on the disk.
    free: u64,
    /// Free within `queue.db`.
    reusable: u64,
    /// The length of the write-ahead log: at most so much will still be copied into `queue.db`.
    log: u64,
}

impl DiskSpace {
    /// `database` is the file whose write-ahead log stands beside it.
    pub(in crate::embedded) fn new(
        directory: &Path,
        database: &Path,
        floor: u64,
        free: watch::Sender<Option<u64>>,
    ) -> Self {
        Self {
            directory: directory.to_owned(),
            log_file: log_of(database),
            floor,
            low: false,
            unknown: false,
            free,
        }
    }

    /// Looks at the disk. `None` where its free space cannot be read: then nothing is refused.
    pub(super) fn look(&mut self, reusable: u64) -> Option<SpaceSeen> {
        let free = match free_bytes(&self.directory) {
            Ok(free) => Some(free),
            Err(error) => {
                if !self.unknown {
                    tracing::warn!(%error, "the disk's free space cannot be read");
                }
                None
            }
        };
        self.unknown = free.is_none();
        self.free.send_if_modified(|shown| {
            let changed = *shown != free;
            *shown = free;
            changed
        });
        let log = std::fs::metadata(&self.log_file).map_or(0, |file| file.len());
        Some(SpaceSeen {
            free: free?,
            reusable,
            log,
        })
    }

    /// Decides whether new callbacks of so many bytes are accepted on what was seen, and remembers
    /// it.
    pub(super) fn admits(&mut self, seen: Option<SpaceSeen>, bytes: u64) -> bool {
        let admitted = seen.is_none_or(|seen| has_space(self.floor, self.low, seen, bytes));
        if admitted == self.low {
            self.low = !admitted;
            let (directory, floor) = (self.directory.display(), self.floor);
            if self.low {
                tracing::warn!(
                    %directory,
                    min_free_bytes = floor,
                    "new callbacks are refused: the disk is low on space"
                );
            } else {
                tracing::info!(%directory, "new callbacks are accepted again: the disk has space");
            }
        }
        admitted
    }

    /// Why new callbacks are refused, if they are.
    pub(super) fn refusal(&self) -> Option<String> {
        self.low.then(|| {
            format!(
                "new callbacks are refused, because the disk of {} has less than {} bytes free \
                 (broker.min_free_bytes)",
                self.directory.display(),
                self.floor
            )
        })
    }
}

/// Whether so many bytes of new callbacks leave the floor free. Once refused, an eighth more must
/// be free before they are accepted again. Pure.
fn has_space(floor: u64, low: bool, seen: SpaceSeen, bytes: u64) -> bool {
    if floor == 0 {
        return true;
    }
    let floor = if low {
        floor.saturating_add(floor / 8)
    } else {
        floor
    };
    // Written twice: to the log, and later to the file.
    let needed = bytes.saturating_mul(2).saturating_add(seen.log);
    let on_disk = seen.free.saturating_sub(needed);
    let with_reusable = seen
        .free
        .saturating_add(seen.reusable)
        .saturating_sub(needed);
    on_disk >= floor / 2 && with_reusable >= floor
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1024 * 1024;

    fn seen(free: u64, reusable: u64, log: u64) -> SpaceSeen {
        SpaceSeen {
            free: free * MIB,
            reusable: reusable * MIB,
            log: log * MIB,
        }
    }

    #[test]
    fn new_callbacks_need_the_floor_free_after_they_are_written() {
        for (low, seen, mebibytes, accepted) in [
            (false, seen(256, 0, 0), 0, true),
            (false, seen(255, 0, 0), 0, false),
            // Each byte is written to the log and to the file.
            (false, seen(276, 0, 0), 10, true),
            (false, seen(275, 0, 0), 10, false),
            // The log will be copied into the file.
            (false, seen(275, 0, 20), 0, false),
            // Pages left by removed messages count, but half of the floor is free on the disk.
            (false, seen(128, 128, 0), 0, true),
            (false, seen(127, 900, 0), 0, false),
            // Not to and fro at the floor.
            (true, seen(287, 0, 0), 0, false),
            (true, seen(288, 0, 0), 0, true),
        ] {
            let bytes = mebibytes * MIB;
            let found = has_space(256 * MIB, low, seen, bytes);
            assert_eq!(found, accepted, "{low} {seen:?} {mebibytes}");
        }
        assert!(
            has_space(0, true, seen(0, 0, 9), 9),
            "no floor was asked for"
        );
    }

    #[test]
    fn an_unreadable_disk_refuses_nothing_and_shows_no_free_space() {
        let (free, shown) = watch::channel(None);
        let missing = Path::new("/nonexistent/ringback");
        let mut space = DiskSpace::new(missing, &missing.join("queue.db"), 256 * MIB, free);
        let seen = space.look(0);
        assert_eq!(seen, None);
        assert!(space.admits(seen, MIB));
        assert_eq!(*shown.borrow(), None);
        assert_eq!(space.refusal(), None);
    }

    proptest! {
        /// Whatever is accepted one batch after the other, the disk is not filled beyond half of
        /// the floor.
        #[test]
        fn accepting_never_fills_the_disk(
            disk in 0..4_096_u64,
            floor in 1..512_u64,
            batches in prop::collection::vec(0..64_u64, 1..200),
        ) {
            let (mut free, mut log, mut low) = (disk, 0, false);
            for batch in batches {
                let accepted = has_space(floor * MIB, low, seen(free, 0, log), batch * MIB);
                low = !accepted;
                if accepted && batch > 0 {
                    // The checkpoint copies the log into the file, which grows the disk's use.
                    let grown = batch.saturating_sub(log);
                    prop_assert!(free >= batch + grown + floor / 2);
                    free -= batch + grown;
                    log = log.max(batch);
                }
            }
        }
    }
}
