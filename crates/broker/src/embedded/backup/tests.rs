//! Tests of backup and restore, on plain databases.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::restore::refuse_unfinished;
use super::{DatabaseSnapshot, DirectorySnapshot, RestoredDirectory, check_queue_version};
use crate::embedded::directory::{LOCK_FILE, QUEUE_FILE, lock_data_dir};

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("ringback-backup-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A database in it, in use.
    fn database(&self, name: &str) -> Connection {
        let connection = Connection::open(self.0.join(name)).unwrap();
        let create = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
            CREATE TABLE t (a INTEGER) STRICT; PRAGMA user_version = 3;";
        connection.execute_batch(create).unwrap();
        connection
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn insert(connection: &Connection, value: i64) {
    let inserted = connection.execute("INSERT INTO t VALUES (?1)", [value]);
    assert_eq!(inserted, Ok(1));
}

fn values(database: &Path) -> Vec<i64> {
    let connection = Connection::open(database).unwrap();
    let mut rows = connection.prepare("SELECT a FROM t ORDER BY a").unwrap();
    let values = rows.query_map([], |row| row.get(0)).unwrap();
    values.map(Result::unwrap).collect()
}

#[test]
fn a_snapshot_is_one_moment_however_much_is_written_while_it_is_copied() {
    let directory = Directory::new("moment");
    let queue = directory.database(QUEUE_FILE);
    let journal = directory.database("journal.db");
    let _process = lock_data_dir(&directory.0).unwrap();
    (1..=100).for_each(|value| insert(&queue, value));
    insert(&journal, 1);
    let journal_file = directory.0.join("journal.db");
    let (snapshot, refused) = DirectorySnapshot::open(&directory.0, &[&journal_file], || {
        // Nothing is written to the queue from here on; the journal still takes what it must tell.
        insert(&journal, 2);
        let impatient = Connection::open(directory.0.join(QUEUE_FILE)).unwrap();
        impatient.busy_timeout(std::time::Duration::ZERO).unwrap();
        Ok(impatient.execute("INSERT INTO t VALUES (0)", []).is_err())
    })
    .unwrap();
    assert!(refused, "the queue was not held");
    (101..=200).for_each(|value| insert(&queue, value));
    queue.execute("DELETE FROM t WHERE a < 50", []).unwrap();
    insert(&journal, 3);

    let target = Directory::new("moment-copy");
    for database in snapshot.databases() {
        let copy = target.0.join(database.file().file_name().unwrap());
        let mut seen = 0;
        database.copy_to(&copy, &mut |bytes| seen = bytes).unwrap();
        let metadata = fs::metadata(&copy).unwrap();
        assert_eq!((seen, metadata.len()), (database.bytes(), database.bytes()));
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(database.schema(), 3);
        // An existing backup is not overwritten.
        assert!(database.copy_to(&copy, &mut |_| ()).is_err());
    }
    assert_eq!(
        fs::read_dir(&target.0).unwrap().count(),
        2,
        "only the copies"
    );
    let copied = values(&target.0.join(QUEUE_FILE));
    assert_eq!(copied, (1..=100).collect::<Vec<_>>());
    assert_eq!(values(&target.0.join("journal.db")), [1, 2]);
}

#[test]
fn a_damaged_database_is_not_backed_up() {
    let directory = Directory::new("damaged");
    let queue = directory.database(QUEUE_FILE);
    (1..=5_000).for_each(|value| insert(&queue, value));
    queue.close().unwrap();
    let file = directory.0.join(QUEUE_FILE);
    let mut bytes = fs::read(&file).unwrap();
    let length = bytes.len();
    bytes[length / 2..length / 2 + 4_096].fill(0xee);
    fs::write(&file, bytes).unwrap();
    // While a process runs, the files are its own; the copy is checked.
    let process = lock_data_dir(&directory.0).unwrap();
    let (snapshot, ()) = DirectorySnapshot::open(&directory.0, &[], || Ok(())).unwrap();
    let copy = directory.0.join("copy.db");
    let copied = |database: &DatabaseSnapshot| database.copy_to(&copy, &mut |_| ());
    let refusal = snapshot.databases().next().map(copied);
    let refusal = refusal.unwrap().unwrap_err();
    assert!(refusal.contains("queue.db cannot be copied"), "{refusal}");
    assert!(refusal.contains("it is damaged"), "{refusal}");
    drop((snapshot, process));
    // Without one, they are checked before they are opened.
    let refusal = DirectorySnapshot::open(&directory.0, &[], || Ok(())).unwrap_err();
    assert!(refusal.contains("queue.db is damaged"), "{refusal}");
}

#[test]
fn a_directory_without_a_queue_is_refused() {
    let directory = Directory::new("none");
    let refusal = DirectorySnapshot::open(&directory.0, &[], || Ok(())).unwrap_err();
    assert!(refusal.ends_with("queue.db does not exist"), "{refusal}");
    assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
}

#[test]
fn a_restore_takes_an_empty_directory_and_is_refused_until_it_ends() {
    let directory = Directory::new("restore");
    let path = directory.0.join("data");
    let process = Directory::new("restore-used");
    let _running = lock_data_dir(&process.0).unwrap();
    let refusal = RestoredDirectory::begin(&process.0).unwrap_err();
    assert!(refusal.contains("in use by another process"), "{refusal}");

    let begun = RestoredDirectory::begin(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions(), mode(0o40700));
    drop(begun.create(Path::new("queue.db")).unwrap());
    let file = path.join("queue.db");
    assert_eq!(fs::metadata(file).unwrap().permissions(), mode(0o100_600));
    drop(begun);
    let refusal = refuse_unfinished(&path).unwrap_err();
    assert!(refusal.contains("not restored to the end"), "{refusal}");
    let refusal = RestoredDirectory::begin(&path).unwrap_err();
    assert!(refusal.contains("is not empty"), "{refusal}");

    fs::remove_dir_all(&path).unwrap();
    // What an ended process leaves does not matter.
    fs::create_dir(&path).unwrap();
    fs::write(path.join(LOCK_FILE), "").unwrap();
    RestoredDirectory::begin(&path).unwrap().finish().unwrap();
    assert_eq!(refuse_unfinished(&path), Ok(()));
}

fn mode(mode: u32) -> Permissions {
    Permissions::from_mode(mode)
}

#[test]
fn a_queue_of_a_newer_version_is_refused() {
    let directory = Directory::new("newer");
    let queue = directory.database(QUEUE_FILE);
    let file = directory.0.join(QUEUE_FILE);
    assert_eq!(check_queue_version(&file), Ok(()));
    queue.pragma_update(None, "user_version", 99).unwrap();
    let refusal = check_queue_version(&file).unwrap_err();
    assert!(refusal.contains("it has version 99"), "{refusal}");
    assert!(refusal.contains("a newer ringback made it"), "{refusal}");
}
