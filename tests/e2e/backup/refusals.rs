//! What a backup and a restore refuse, and what a start refuses after them.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use tests::cleanup::TempDirectory;
use tests::{Process, SingleProcess};

use super::{SOON, backed_up, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_is_refused_where_it_would_destroy_something_or_its_backup_is_damaged() {
    let gateway = SingleProcess::start(&[]).await;
    let temp = TempDirectory::new("backups");
    let backup = temp.path().join("good");
    backed_up(&gateway, &backup).await;
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let refused = async |arguments: &[&str], reason: &str| {
        let (succeeded, output) = run(&gateway, arguments).await;
        assert!(!succeeded, "{arguments:?}: {output}");
        assert!(output.contains(reason), "{arguments:?}: {output}");
    };
    let from = text(&backup);
    // An existing backup is not overwritten.
    refused(&["backup", &from], "is not empty: name a new directory").await;
    refused(&["restore", &from], "is in use by another process").await;
    let empty = temp.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let none = ["backup", &from, "--data-dir", &text(&empty)];
    refused(&none, "queue.db does not exist").await;

    let data = temp.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("kept"), "").unwrap();
    let full = ["restore", &from, "--data-dir", &text(&data)];
    refused(&full, "is not empty (kept is in it)").await;

    let target = text(&temp.path().join("restored"));
    let no_manifest = text(&empty);
    let restore = ["restore", &no_manifest, "--data-dir", &target];
    refused(&restore, "manifest.json does not exist").await;
    for (name, change, reason) in [
        ("flipped", flip as fn(&Path), "queue.db is damaged"),
        ("cut", cut, "journal.db is damaged"),
        ("newer", newer, "a newer ringback made"),
    ] {
        let copy = temp.path().join(name);
        fs::create_dir(&copy).unwrap();
        for file in ["queue.db", "journal.db", "manifest.json"] {
            fs::copy(backup.join(file), copy.join(file)).unwrap();
        }
        change(&copy);
        let restore = ["restore", &text(&copy), "--data-dir", &target];
        refused(&restore, reason).await;
    }
    assert!(
        !Path::new(&target).exists(),
        "a refused restore has written"
    );
}

fn flip(backup: &Path) {
    let file = backup.join("queue.db");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn cut(backup: &Path) {
    let file = backup.join("journal.db");
    let bytes = fs::read(&file).unwrap();
    fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
}

fn newer(backup: &Path) {
    let file = backup.join("manifest.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(file, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
}

/// The output of a start that must fail.
async fn refused_start(gateway: &SingleProcess) -> String {
    let mut process = Process::ringback(&["serve"], gateway.environment());
    let ended = process.wait_exit(SOON).await;
    assert_eq!(ended.code(), Some(1), "{}", process.log());
    process.log()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_is_refused_on_an_unfinished_restore_and_on_files_of_a_newer_version() {
    let gateway = SingleProcess::new(&[]);
    let directory = gateway.directory();
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("restoring"), "").unwrap();
    let output = refused_start(&gateway).await;
    assert!(output.contains("was not restored to the end"), "{output}");
    fs::remove_file(directory.join("restoring")).unwrap();

    for file in ["queue.db", "journal.db"] {
        let mut gateway = SingleProcess::start(&[]).await;
        gateway.stop().await;
        let database = Connection::open(gateway.directory().join(file)).unwrap();
        database.pragma_update(None, "user_version", 99).unwrap();
        drop(database);
        let output = refused_start(&gateway).await;
        let reason = "it has version 99, this program needs version";
        assert!(output.contains(reason), "{file}: {output}");
        assert!(output.contains("a newer ringback made it"), "{output}");
        let database = Connection::open(gateway.directory().join(file)).unwrap();
        let version = database.query_row("PRAGMA user_version", [], |row| row.get(0));
        assert_eq!(version, Ok(99), "{file} was changed");
    }
}
