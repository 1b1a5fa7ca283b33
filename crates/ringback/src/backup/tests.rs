//! What a backup refuses, and what becomes of the spool. The databases are tested end to end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::copy_hashed;
use super::manifest::{BackupFile, MANIFEST_FILE, Manifest};
use super::restore::restore;
use super::{CopyProgress, spool};

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("ringback-manifest-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn write_manifest(&self, text: &str) {
        fs::write(self.0.join(MANIFEST_FILE), text).unwrap();
    }

    fn refusal(&self) -> String {
        Manifest::read(&self.0).unwrap_err()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file(name: &str, content: &[u8], schema: Option<i64>) -> BackupFile {
    let (bytes, sha256) = copy_hashed(&mut &*content, &mut io::sink()).unwrap();
    BackupFile {
        name: name.to_owned(),
        bytes,
        sha256,
        schema,
    }
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let directory = Directory::new("same");
    let files = vec![
        file("queue.db", b"", Some(4)),
        file("spool/recorder-1/records-0.spool", b"abc", None),
    ];
    let written = Manifest::new("2026-11-30T08:00:00.000Z".to_owned(), files);
    written.write(&directory.0).unwrap();
    assert_eq!(Manifest::read(&directory.0), Ok(written));
    let text = fs::read_to_string(directory.0.join(MANIFEST_FILE)).unwrap();
    // From sha256sum.
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert!(text.contains(sum), "{text}");
}

#[test]
fn a_manifest_that_cannot_be_used_is_refused_with_its_reason() {
    let directory = Directory::new("refused");
    assert!(directory.refusal().contains("is no backup, or not a whole"));
    for (text, reason) in [
        ("{", "is damaged"),
        ("{}", "it names no format"),
        (r#"{"format": 2, "more": 1}"#, "a newer ringback made"),
        (r#"{"format": 1}"#, "missing field"),
        (
            r#"{"format": 1, "ringback": "1", "taken_at": "", "files": []}"#,
            "it names no queue.db",
        ),
    ] {
        directory.write_manifest(text);
        let refusal = directory.refusal();
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
    for name in [
        "../queue.db",
        "/queue.db",
        "lock",
        "spool/a/../../b",
        "a.db",
    ] {
        let files = vec![file("queue.db", b"", None), file(name, b"", None)];
        let manifest = Manifest::new(String::new(), files);
        directory.write_manifest(&serde_json::to_string(&manifest).unwrap());
        let refusal = directory.refusal();
        assert!(refusal.contains("it names the file"), "{name}: {refusal}");
    }
}

#[test]
fn a_file_that_is_not_the_one_of_the_manifest_is_refused_before_anything_is_written() {
    let directory = Directory::new("changed");
    let files = vec![file("queue.db", b"queue", Some(4))];
    let manifest = Manifest::new(String::new(), files);
    manifest.write(&directory.0).unwrap();
    let data_dir = directory.0.join("data");
    let attempt = || {
        let spool = data_dir.join("spool");
        restore(&directory.0, &data_dir, &spool, &mut CopyProgress::new()).unwrap_err()
    };
    assert!(attempt().contains("queue.db cannot be read"));
    for changed in ["Queue", "queue ", ""] {
        fs::write(directory.0.join("queue.db"), changed).unwrap();
        let refusal = attempt();
        assert!(refusal.contains("queue.db is damaged"), "{refusal}");
    }
    assert!(!data_dir.exists());
}

#[test]
fn a_spooled_file_is_read_as_it_was_even_when_it_grows_or_is_removed() {
    let directory = Directory::new("spool");
    assert!(
        spool::open_files(&directory.0.join("none"))
            .unwrap()
            .is_empty()
    );
    let recorder = directory.0.join("recorder-1");
    fs::create_dir(&recorder).unwrap();
    let write = |name: &str, text: &str| fs::write(recorder.join(name), text).unwrap();
    write("lock", "");
    write("records-0.spool", "one");
    let mut files = spool::open_files(&directory.0).unwrap();
    write("records-0.spool", "one and two");
    let [file] = &mut files[..] else {
        panic!("{files:?}");
    };
    assert_eq!(file.path, Path::new("recorder-1/records-0.spool"));
    fs::remove_dir_all(&recorder).unwrap();
    let mut read = Vec::new();
    copy_hashed(&mut file.content(), &mut read).unwrap();
    assert_eq!(read, b"one");
}
