//! Whether a database file has all its pages (sqlite.org/fileformat2.html, section 1.3).

use super::log::{LogScan, is_page_size, word};
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

const HEADER_BYTES: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const DEFAULT_PAGE_BYTES: usize = 4_096;
/// SQLite never writes the page that holds this byte.
const LOCK_BYTE: u64 = 0x4000_0000;

/// What the header of a database file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub(super) page_bytes: usize,
    /// The pages of the file; `None`: not known.
    pages: Option<u32>,
}

impl FileHeader {
    /// Reads the header. That of a file that is missing, too short or no database holds the
    /// defaults: SQLite refuses such a file by itself.
    pub(super) fn read(database: &Path) -> io::Result<Self> {
        let mut bytes = [0; HEADER_BYTES];
        let read = File::open(database).and_then(|mut file| file.read_exact(&mut bytes));
        match read {
            Ok(()) => Ok(Self::parse(&bytes)),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) =>
            {
                Ok(Self::unknown())
            }
            Err(error) => Err(error),
        }
    }

    const fn unknown() -> Self {
        Self {
            page_bytes: DEFAULT_PAGE_BYTES,
            pages: None,
        }
    }

    fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let page_bytes = match u16::from_be_bytes([bytes[16], bytes[17]]) {
            1 => 65_536,
            bytes => usize::from(bytes),
        };
        if &bytes[..16] != MAGIC || !is_page_size(page_bytes) {
            return Self::unknown();
        }
        // The number of pages is valid if it was written with the last change.
        let valid = word(bytes, 24) == word(bytes, 92);
        let pages = Some(word(bytes, 28)).filter(|pages| valid && *pages > 0);
        Self { page_bytes, pages }
    }

    /// The whole pages in a file of so many bytes.
    pub(super) fn pages_in(self, length: u64) -> u32 {
        u32::try_from(length / self.page_bytes as u64).unwrap_or(u32::MAX)
    }

    /// How many pages are neither in the file, which has `file_pages`, nor in its log. A crash
    /// during a checkpoint leaves pages that are in the log alone.
    pub(super) fn missing_pages(self, file_pages: u32, log: &LogScan) -> u64 {
        let needed = match log.database_pages {
            0 => self.pages.unwrap_or(file_pages),
            pages => pages,
        };
        let beyond = |page: u32| page > file_pages && page <= needed;
        let lock_page = u32::try_from(LOCK_BYTE / self.page_bytes as u64 + 1).ok();
        let unwritten = lock_page.filter(|page| beyond(*page));
        let logged = log.pages_beyond.iter().filter(|page| beyond(**page));
        let logged = logged.filter(|page| Some(**page) != unwritten).count() as u64;
        u64::from(needed.saturating_sub(file_pages))
            .saturating_sub(logged)
            .saturating_sub(u64::from(unwritten.is_some()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pages: Option<u32>) -> FileHeader {
        FileHeader {
            page_bytes: 4_096,
            pages,
        }
    }

    fn log(database_pages: u32, pages_beyond: &[u32]) -> LogScan {
        LogScan {
            database_pages,
            pages_beyond: pages_beyond.iter().copied().collect(),
            ..LogScan::default()
        }
    }

    #[test]
    fn a_page_is_missing_when_neither_the_file_nor_the_log_has_it() {
        for (pages, file_pages, log, missing) in [
            (Some(10), 10, log(0, &[]), 0),
            (Some(10), 12, log(0, &[]), 0),
            (Some(10), 5, log(0, &[]), 5),
            (None, 5, log(0, &[]), 0),
            // The log's last commit tells the size, whatever the file's header says.
            (Some(10), 5, log(7, &[6, 7]), 0),
            (Some(10), 5, log(7, &[7]), 1),
            (Some(10), 5, log(7, &[7, 9]), 1),
            (Some(3), 3, log(5, &[4, 5]), 0),
            // The page of the lock byte is never written.
            (Some(262_145), 262_144, log(0, &[]), 0),
            (Some(262_146), 262_144, log(0, &[]), 1),
        ] {
            let found = header(pages).missing_pages(file_pages, &log);
            assert_eq!(found, missing, "{pages:?} {file_pages} {log:?}");
        }
    }
}
