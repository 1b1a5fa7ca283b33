//! Files that a store made, damaged in the ways that disks and people damage them.

use super::*;
use rusqlite::Connection;
use std::fs;

struct Damaged {
    directory: PathBuf,
    file: PathBuf,
}

impl Damaged {
    /// A database as a killed process leaves it: some of it in the file, and some in the log.
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let made = directory.join("made.db");
        let connection = Connection::open(&made).unwrap();
        let settings = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
            PRAGMA wal_autocheckpoint=0; CREATE TABLE t (a BLOB);";
        connection.execute_batch(settings).unwrap();
        let insert = |count: u32| {
            for _ in 0..count {
                let insert = "INSERT INTO t VALUES (randomblob(3000))";
                connection.execute(insert, []).unwrap();
            }
        };
        insert(50);
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        connection.query_row(checkpoint, [], |_| Ok(())).unwrap();
        insert(10);
        let file = directory.join("queue.db");
        fs::copy(&made, &file).unwrap();
        fs::copy(log_of(&made), log_of(&file)).unwrap();
        Self { directory, file }
    }

    fn check(&self) -> Result<(), String> {
        check_database(&self.file)
    }

    fn rows(&self) -> u32 {
        let connection = Connection::open(&self.file).unwrap();
        let count = "SELECT count(*) FROM t";
        connection.query_row(count, [], |row| row.get(0)).unwrap()
    }

    fn change(&self, file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(file).unwrap();
        change(&mut bytes);
        fs::write(file, bytes).unwrap();
    }
}

impl Drop for Damaged {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[test]
fn a_file_that_a_killed_process_left_is_accepted() {
    let whole = Damaged::new("ringback-whole");
    assert_eq!(whole.check(), Ok(()));
    assert_eq!(whole.rows(), 60);
    assert_eq!(whole.check(), Ok(()));
    assert_eq!(check_database(Path::new("/nonexistent/queue.db")), Ok(()));
}

#[test]
fn a_file_cut_to_half_is_refused_with_or_without_its_log() {
    let cut = Damaged::new("ringback-cut");
    cut.change(&cut.file, |bytes| bytes.truncate(bytes.len() / 2));
    for _ in 0..2 {
        let refusal = cut.check().unwrap_err();
        assert!(refusal.contains("queue.db is cut off"), "{refusal}");
        assert!(refusal.contains("restore a backup"), "{refusal}");
        fs::remove_file(log_of(&cut.file)).unwrap_or_default();
    }
}

#[test]
fn a_file_cut_to_nothing_is_refused_while_its_log_is_there() {
    let emptied = Damaged::new("ringback-emptied");
    emptied.change(&emptied.file, Vec::clear);
    let refusal = emptied.check().unwrap_err();
    assert!(refusal.contains("missing or empty"), "{refusal}");
    fs::remove_file(&emptied.file).unwrap();
    assert!(emptied.check().is_err());
    assert!(log_of(&emptied.file).exists());
}

#[test]
fn a_file_with_overwritten_pages_is_refused() {
    let overwritten = Damaged::new("ringback-overwritten");
    overwritten.change(&overwritten.file, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 16_384].fill(0xA5);
    });
    let refusal = overwritten.check().unwrap_err();
    assert!(refusal.contains("queue.db is damaged"), "{refusal}");
    overwritten.change(&overwritten.file, |bytes| bytes.fill(0xA5));
    assert!(overwritten.check().is_err());
}

#[test]
fn a_scribbled_log_is_refused_until_the_operator_cuts_it_as_told() {
    let scribbled = Damaged::new("ringback-scribbled");
    let log = log_of(&scribbled.file);
    scribbled.change(&log, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 100].fill(0xA5);
    });
    let refusal = scribbled.check().unwrap_err();
    assert!(refusal.contains("commits behind it"), "{refusal}");
    let advice = refusal.split_once("`truncate -s ").unwrap().1;
    let (length, file) = advice.split_once(' ').unwrap();
    assert!(file.starts_with(log.to_str().unwrap()), "{refusal}");
    let length = length.parse().unwrap();
    scribbled.change(&log, |bytes| bytes.truncate(length));
    assert_eq!(scribbled.check(), Ok(()));
    let rows = scribbled.rows();
    assert!((50..60).contains(&rows), "{rows} rows");
}

#[test]
fn a_checkpoint_that_a_crash_interrupted_is_accepted() {
    let interrupted = Damaged::new("ringback-interrupted");
    let before = fs::read(&interrupted.file).unwrap();
    let log = fs::read(log_of(&interrupted.file)).unwrap();
    // The checkpoint as a whole, then with the old end of the file and the whole log.
    interrupted.rows();
    interrupted.change(&interrupted.file, |bytes| {
        assert!(bytes.len() > before.len());
        bytes.truncate(before.len());
    });
    assert!(interrupted.check().is_err());
    fs::write(log_of(&interrupted.file), log).unwrap();
    assert_eq!(interrupted.check(), Ok(()));
    assert_eq!(interrupted.rows(), 60);
}
