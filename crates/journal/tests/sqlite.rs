//! Does the journal in a file keep every promise, and its own?

#![expect(clippy::unwrap_used, reason = "a broken promise must fail loudly")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use journal::conformance::{Rig, exercise};
use journal::{Filter, Journal, Origin, Record, Recorder, State};

/// Journals in a directory that goes with the test.
struct OnDisk(PathBuf);

impl OnDisk {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("ringback-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Rig for OnDisk {
    async fn open(&self, name: &str) -> Journal {
        let directory = self.0.join(name);
        fs::create_dir_all(&directory).unwrap();
        Journal::open(&directory).unwrap()
    }
}

fn accepted() -> Record {
    Record {
        origin: Origin {
            request_id: uuid::Uuid::now_v7(),
            app_id: "crm".to_owned(),
            caller_no: Some("C001".to_owned()),
            callee_no: Some("T001".to_owned()),
            message_type: "order.paid".to_owned(),
            callback_url: None,
            target: "https://callee.example:443".to_owned(),
            accepted_at: 1,
        },
        generation: 0,
        attempt: 1,
        at: 1,
        state: State::Queued { not_before: None },
        attempted: None,
        dead_letter: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_keeps_every_promise() {
    exercise(&OnDisk::new("journal")).await;
}

#[tokio::test]
async fn the_file_is_its_owners_alone() {
    let disk = OnDisk::new("journal-mode");
    let journal = disk.open("mode").await;
    journal.record(&[accepted()]).await.unwrap();
    for file in fs::read_dir(disk.0.join("mode")).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
    journal.close().await;
}

#[tokio::test]
async fn a_file_that_is_no_journal_is_refused_by_name() {
    let disk = OnDisk::new("journal-garbage");
    fs::write(disk.0.join("journal.db"), "garbage ".repeat(1_000)).unwrap();
    let refused = Journal::open(&disk.0).unwrap_err();
    assert!(refused.contains("journal.db"), "{refused}");
}

#[tokio::test]
async fn a_closed_journal_answers_that_it_is() {
    let disk = OnDisk::new("journal-closed");
    let journal = disk.open("closed").await;
    journal.close().await;
    journal.close().await;
    let told = journal.record(&[accepted()]).await.unwrap_err();
    assert!(told.to_string().contains("closed"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_brings_everything_into_the_file() {
    let disk = OnDisk::new("journal-recorder");
    let journal = disk.open("recorder").await;
    let recorder = Recorder::start(std::sync::Arc::new(journal.clone()), 10_000);
    let begun = Instant::now();
    for _ in 0..5_000 {
        recorder.record(accepted());
    }
    recorder.record_durably(accepted()).await.unwrap();
    recorder.close().await;
    assert_eq!(recorder.gap(), 0);
    let count = journal.count(&Filter::default(), 0).await.unwrap();
    assert_eq!(count, 5_001);
    // Thousands in a second and not tens: they share their syncs.
    assert!(begun.elapsed() < Duration::from_secs(60));
    journal.close().await;
}
