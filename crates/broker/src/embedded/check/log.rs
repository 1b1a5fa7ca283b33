//! Reads a write-ahead log of SQLite, and tells damage from the torn tail that a crash leaves.
//!
//! SQLite stops at the first frame whose checksum is wrong, and silently drops what is behind it
//! (sqlite.org/fileformat2.html, section 4). After a crash that is right: the last transaction was
//! being written. In the middle of the log it would drop what was accepted.
//!
//! With `synchronous=FULL` a transaction is synced before the next one begins. A frame's checksum
//! covers the stored checksum of the frame before it, so frames behind a bad one can still be
//! verified against each other. An unbroken run of frames with two commits proves that the first of
//! the two was synced, with everything before it: then a bad frame before them is damage. What a
//! crash, a power failure or a failed write leaves behind the end has at most one commit in each
//! such run. Pure: the bytes are an argument.

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read};

pub(super) const HEADER_BYTES: usize = 32;
pub(super) const FRAME_HEADER_BYTES: usize = 24;
/// The magic number; its lowest bit says that the checksums read words as big-endian.
const MAGIC: u32 = 0x377f_0682;
/// The number of commits in an unbroken run that proves the first one to have been synced.
const PROOF_COMMITS: u64 = 2;

/// What a log holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LogScan {
    /// The frames up to the last commit that SQLite will find.
    pub(super) committed_frames: u64,
    /// The bytes of the file up to the end of that commit; 0 without one.
    pub(super) intact_bytes: u64,
    /// The pages of the database after that commit; 0 without one.
    pub(super) database_pages: u32,
    /// The pages beyond the end of the database file that committed frames hold.
    pub(super) pages_beyond: HashSet<u32>,
    /// Synced commits that SQLite would drop.
    pub(super) lost: Option<LostCommits>,
}

/// Commits behind a bad frame, or behind a bad header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LostCommits {
    /// The first bad frame, counted from 1; 0: the header.
    pub(super) bad_frame: u64,
    /// How many commits are behind it, at least.
    pub(super) commits: u64,
}

/// What the log's header says.
struct Header {
    page_bytes: usize,
    big_endian: bool,
    salts: [u8; 8],
    checksum: Checksum,
}

type Checksum = (u32, u32);

/// Reads a log to its end. `page_bytes` and `file_pages` are those of the database file.
///
/// # Errors
/// When the log cannot be read.
pub(super) fn scan(mut log: impl Read, page_bytes: usize, file_pages: u32) -> io::Result<LogScan> {
    let mut scan = LogScan::default();
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut log, &mut header)? {
        return Ok(scan);
    }
    let header = parse_header(&header);
    let frame_bytes = header
        .as_ref()
        .map_or(page_bytes, |header| header.page_bytes)
        + FRAME_HEADER_BYTES;
    let big_endian = header
        .as_ref()
        .map_or(cfg!(target_endian = "big"), |header| header.big_endian);
    // Without a header the first frame's salts are those of the log.
    let mut salts = header.as_ref().map(|header| header.salts);
    let mut chain = header.map(|header| header.checksum);
    let mut behind = chain.is_none().then(|| Behind::new(0));
    let mut uncommitted = HashSet::new();
    let mut frame = vec![0; frame_bytes];
    let mut number = 0;
    while fill(&mut log, &mut frame)? {
        number += 1;
        let read = Frame::parse(&frame);
        let own = *salts.get_or_insert(read.salts) == read.salts && read.page != 0;
        if let Some(previous) = chain {
            if own && read.follows(previous, big_endian) {
                chain = Some(read.checksum);
                if read.page > file_pages {
                    uncommitted.insert(read.page);
                }
                if read.database_pages > 0 {
                    scan.committed_frames = number;
                    scan.intact_bytes = HEADER_BYTES as u64 + number * frame_bytes as u64;
                    scan.database_pages = read.database_pages;
                    scan.pages_beyond.extend(uncommitted.drain());
                }
                continue;
            }
            chain = None;
            behind = Some(Behind::new(number));
        }
        if let Some(behind) = &mut behind {
            behind.look(&read, own, big_endian);
        }
    }
    scan.lost = behind.and_then(|behind| behind.lost());
    Ok(scan)
}

/// The frames behind the end that SQLite finds.
struct Behind {
    bad_frame: u64,
    /// The stored checksum of the frame before, if it belongs to this log.
    previous: Option<Checksum>,
    /// The commits of the unbroken run that ends here.
    run_commits: u64,
    /// All commits of this log.
    commits: u64,
    proven: bool,
}

impl Behind {
    const fn new(bad_frame: u64) -> Self {
        Self {
            bad_frame,
            previous: None,
            run_commits: 0,
            commits: 0,
            proven: false,
        }
    }

    /// Looks at the next frame; `own`: its salts are those of this log.
    fn look(&mut self, frame: &Frame<'_>, own: bool, big_endian: bool) {
        if !own {
            (self.previous, self.run_commits) = (None, 0);
            return;
        }
        let follows = |previous| frame.follows(previous, big_endian);
        if !self.previous.is_some_and(follows) {
            self.run_commits = 0;
        }
        if frame.database_pages > 0 {
            self.commits += 1;
            self.run_commits += 1;
        }
        self.proven |= self.run_commits >= PROOF_COMMITS;
        self.previous = Some(frame.checksum);
    }

    fn lost(&self) -> Option<LostCommits> {
        self.proven.then_some(LostCommits {
            bad_frame: self.bad_frame,
            commits: self.commits,
        })
    }
}

/// A frame: its header, and a page.
struct Frame<'a> {
    page: u32,
    /// The pages of the database after the commit that this frame ends; 0: it ends none.
    database_pages: u32,
    salts: [u8; 8],
    /// As stored.
    checksum: Checksum,
    /// What the checksum covers: the first 8 bytes of the header, and the page.
    covered: [&'a [u8]; 2],
}

impl<'a> Frame<'a> {
    fn parse(bytes: &'a [u8]) -> Self {
        let mut salts = [0; 8];
        salts.copy_from_slice(&bytes[8..16]);
        Self {
            page: word(bytes, 0),
            database_pages: word(bytes, 4),
            salts,
            checksum: (word(bytes, 16), word(bytes, 20)),
            covered: [&bytes[..8], &bytes[FRAME_HEADER_BYTES..]],
        }
    }

    /// Whether its checksum is right behind a frame with the checksum `previous`.
    fn follows(&self, previous: Checksum, big_endian: bool) -> bool {
        let [head, page] = self.covered;
        let checksum = add(add(previous, head, big_endian), page, big_endian);
        checksum == self.checksum
    }
}

/// `None`: SQLite ignores the log.
fn parse_header(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
    let magic = word(bytes, 0);
    let big_endian = magic & 1 == 1;
    let page_bytes = usize::try_from(word(bytes, 8)).ok()?;
    let checksum = (word(bytes, 24), word(bytes, 28));
    let valid = magic & !1 == MAGIC
        && is_page_size(page_bytes)
        && add((0, 0), &bytes[..24], big_endian) == checksum;
    let mut salts = [0; 8];
    salts.copy_from_slice(&bytes[16..24]);
    valid.then_some(Header {
        page_bytes,
        big_endian,
        salts,
        checksum,
    })
}

/// The sizes that SQLite uses.
pub(super) const fn is_page_size(bytes: usize) -> bool {
    bytes.is_power_of_two() && bytes >= 512 && bytes <= 65_536
}

/// SQLite's checksum, going on from `(s0, s1)`. The length is a multiple of 8.
fn add((mut s0, mut s1): Checksum, bytes: &[u8], big_endian: bool) -> Checksum {
    for pair in bytes.chunks_exact(8) {
        let [one, two] = [0, 4].map(|at| {
            let word = word(pair, at);
            if big_endian { word } else { word.swap_bytes() }
        });
        s0 = s0.wrapping_add(one).wrapping_add(s1);
        s1 = s1.wrapping_add(two).wrapping_add(s0);
    }
    (s0, s1)
}

/// The big-endian word at an offset.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

/// Whether the buffer could be filled; `false`: the file ends before.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;
    use std::sync::OnceLock;

    const PAGE: usize = 4_096;
    const FRAME: usize = PAGE + FRAME_HEADER_BYTES;

    /// A log as SQLite writes it: commits of one and of several frames.
    fn real_log() -> &'static [u8] {
        static LOG: OnceLock<Vec<u8>> = OnceLock::new();
        LOG.get_or_init(|| {
            let name = format!("ringback-log-{}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&directory).unwrap();
            let connection = Connection::open(directory.join("a.db")).unwrap();
            let settings = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
                PRAGMA wal_autocheckpoint=0; CREATE TABLE t (a BLOB);";
            connection.execute_batch(settings).unwrap();
            for length in [10, 20_000, 10, 9_000, 10, 30_000, 10, 10] {
                let insert = "INSERT INTO t VALUES (zeroblob(?1))";
                connection.execute(insert, [length]).unwrap();
            }
            let log = std::fs::read(directory.join("a.db-wal")).unwrap();
            drop(connection);
            std::fs::remove_dir_all(directory).unwrap();
            log
        })
    }

    fn scan_log(log: &[u8]) -> LogScan {
        scan(log, PAGE, 0).unwrap()
    }

    /// The frames that end a commit, from 1.
    fn commits(log: &[u8]) -> Vec<usize> {
        let frames = log[HEADER_BYTES..].chunks_exact(FRAME);
        let commits = frames.enumerate().filter(|(_, frame)| word(frame, 4) > 0);
        commits.map(|(index, _)| index + 1).collect()
    }

    /// Where a frame begins; they are counted from 1.
    fn start(frame: usize) -> usize {
        HEADER_BYTES + (frame - 1) * FRAME
    }

    #[test]
    fn a_log_that_sqlite_wrote_is_read_to_its_end() {
        let log = real_log();
        let found = scan_log(log);
        let frames = (log.len() - HEADER_BYTES) / FRAME;
        assert_eq!(commits(log).len(), 9);
        assert_eq!(found.committed_frames, frames as u64);
        assert_eq!(found.intact_bytes, log.len() as u64);
        assert_eq!(found.lost, None);
        assert!(found.database_pages > 10);
        assert!(found.pages_beyond.contains(&found.database_pages));
        assert_eq!(scan_log(b""), LogScan::default());
    }

    #[test]
    fn a_bad_frame_before_two_later_commits_is_damage_wherever_it_is() {
        let log = real_log();
        let commits = commits(log);
        let second_last = commits[commits.len() - 2];
        for frame in 1..second_last {
            for at in [0, 8, 16, FRAME_HEADER_BYTES, FRAME - 1] {
                let mut scribbled = log.to_vec();
                scribbled[start(frame) + at] ^= 0xA5;
                let found = scan_log(&scribbled);
                let lost = found.lost.expect("damage was not found");
                assert_eq!(lost.bad_frame, frame as u64, "byte {at}");
                assert!(lost.commits >= 2);
                let intact = commits.iter().filter(|commit| **commit < frame).max();
                let intact = intact.copied().unwrap_or_default();
                assert_eq!(found.committed_frames, intact as u64);
                // The advice to the operator: cut there, and the rest is a log as after a crash.
                let cut = usize::try_from(found.intact_bytes).unwrap();
                assert_eq!(scan_log(&scribbled[..cut]).lost, None);
            }
        }
    }

    #[test]
    fn a_bad_header_before_commits_is_damage() {
        for at in [0, 4, 9, 17, 30] {
            let mut scribbled = real_log().to_vec();
            scribbled[at] ^= 0xA5;
            let found = scan_log(&scribbled);
            let (bad_frame, commits) = (0, 9);
            let lost = LostCommits { bad_frame, commits };
            assert_eq!(found.lost, Some(lost), "byte {at}");
            assert_eq!(found.intact_bytes, 0);
        }
    }

    #[test]
    fn a_last_transaction_that_the_power_failure_left_in_pieces_is_no_damage() {
        let log = real_log();
        let commits = commits(log);
        for pair in commits.windows(2) {
            let (before, last) = (pair[0], pair[1]);
            let whole = &log[..start(last + 1)];
            // Any one of its frames is missing, the later ones are there.
            for missing in before + 1..=last {
                let mut torn = whole.to_vec();
                torn[start(missing)..][..FRAME].fill(0);
                let found = scan_log(&torn);
                assert_eq!((found.committed_frames, found.lost), (before as u64, None));
            }
        }
    }

    #[test]
    fn what_failed_writes_and_earlier_logs_left_behind_the_end_is_no_damage() {
        let log = real_log();
        let commits = commits(log);
        // Frames of an earlier log have other salts.
        let mut stale = log.to_vec();
        for frame in commits[2] + 1..=commits[8] {
            stale[start(frame) + 8] ^= 0xA5;
        }
        assert_eq!(scan_log(&stale).lost, None);
        // Commits that failed, each over the one before, so that the end of each is left.
        let mut failed = log[..start(commits[0] + 1)].to_vec();
        for rest in [7, 5, 3] {
            let (before, last) = (commits[rest - 1], commits[rest]);
            failed.extend_from_slice(&log[start(before + 1)..start(last + 1)]);
        }
        let found = scan_log(&failed);
        assert_eq!(found.committed_frames, commits[0] as u64);
        assert_eq!(found.lost, None);
    }

    #[test]
    fn an_old_log_is_restarted_and_its_rest_is_no_damage() {
        let name = format!("ringback-restarted-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let connection = Connection::open(directory.join("a.db")).unwrap();
        let settings = "PRAGMA journal_mode=WAL; CREATE TABLE t (a BLOB);";
        connection.execute_batch(settings).unwrap();
        let insert = || connection.execute("INSERT INTO t VALUES (zeroblob(5000))", []);
        for _ in 0..20 {
            insert().unwrap();
        }
        connection
            .query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))
            .unwrap();
        for _ in 0..3 {
            insert().unwrap();
        }
        let log = std::fs::read(directory.join("a.db-wal")).unwrap();
        let found = scan_log(&log);
        assert!(found.intact_bytes < log.len() as u64);
        assert_eq!(found.lost, None);
        std::fs::remove_dir_all(directory).unwrap();
    }

    proptest! {
        #[test]
        fn a_log_cut_at_any_byte_is_no_damage(cut in 0..real_log().len()) {
            let found = scan_log(&real_log()[..cut]);
            prop_assert_eq!(found.lost, None);
            prop_assert!(found.intact_bytes <= cut as u64);
        }

        /// A power failure keeps any of the last transaction's pages, and of the file's old bytes.
        #[test]
        fn any_rest_of_the_last_transaction_is_no_damage(
            kept in prop::collection::vec(any::<bool>(), 1..20),
            last in 1..9_usize,
        ) {
            let log = real_log();
            let commits = commits(log);
            let mut torn = log[..start(commits[last] + 1)].to_vec();
            let frames = (commits[last - 1] + 1)..=commits[last];
            for (frame, kept) in frames.zip(kept.iter().cycle()) {
                if !kept {
                    torn[start(frame)..][..FRAME].fill(0);
                }
            }
            prop_assert_eq!(scan_log(&torn).lost, None);
        }
    }
}
