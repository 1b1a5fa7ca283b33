//! The journal in a SQLite file passes the suite, and the tests that only apply to a file.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use journal::conformance::{JournalFixture, exercise};
use journal::{Filter, Journal, Origin, Record, RecordedState, Recorder};

/// Journals in a directory that is removed with the test.
struct SqliteFixture(PathBuf);

impl SqliteFixture {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("ringback-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }
}

impl Drop for SqliteFixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl JournalFixture for SqliteFixture {
    async fn open(&self, name: &str) -> Result<Journal, String> {
        let directory = self.0.join(name);
        fs::create_dir_all(&directory).unwrap();
        Journal::open(&directory)
    }

    fn schema_version(&self) -> u32 {
        8
    }

    async fn age_key(&self, name: &str, key: &str, ms: u64) {
        let file = self.0.join(name).join("journal.db");
        let connection = rusqlite::Connection::open(file).unwrap();
        let sql = "UPDATE idempotency_keys SET claimed_at = claimed_at - ?2,
                   lease_until = lease_until - ?2 WHERE app_id = 'crm' AND key = ?1";
        let ms = i64::try_from(ms).unwrap();
        let aged = connection.execute(sql, rusqlite::params![key, ms]);
        assert_eq!(aged.unwrap(), 1);
    }

    async fn set_schema_version(&self, name: &str, version: u32) {
        let file = self.0.join(name).join("journal.db");
        let connection = rusqlite::Connection::open(file).unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
    }

    async fn downgrade_to_version_3(&self, name: &str) {
        let file = self.0.join(name).join("journal.db");
        let connection = rusqlite::Connection::open(file).unwrap();
        connection
            .execute_batch(
                "DROP TABLE app_counts; DROP TABLE leases; DROP TABLE recorders;
                 DROP INDEX idempotency_keys_id; DROP INDEX audit_log_operation;
                 ALTER TABLE audit_log DROP COLUMN operation;
                 ALTER TABLE audit_log DROP COLUMN updated_at;
                 ALTER TABLE callbacks DROP COLUMN retention_discarded_at;
                 DROP INDEX callbacks_unaccounted;
                 ALTER TABLE callbacks DROP COLUMN unaccounted_from;
                 ALTER TABLE callbacks DROP COLUMN unaccounted_at;
                 ALTER TABLE callbacks DROP COLUMN hold;
                 DROP TABLE taken_retries; DROP TABLE rollups;
                 DROP INDEX callbacks_dead_updated;
                 ALTER TABLE attempts DROP COLUMN cause;
                 ALTER TABLE attempts DROP COLUMN answer_type;
                 ALTER TABLE attempts DROP COLUMN answer;
                 PRAGMA user_version = 3;",
            )
            .unwrap();
    }

    async fn downgrade_to_version_5(&self, name: &str) {
        let file = self.0.join(name).join("journal.db");
        let connection = rusqlite::Connection::open(file).unwrap();
        connection
            .execute_batch(
                "ALTER TABLE callbacks DROP COLUMN hold;
                 DROP TABLE taken_retries; DROP TABLE rollups;
                 DROP INDEX callbacks_dead_updated;
                 ALTER TABLE attempts DROP COLUMN cause;
                 ALTER TABLE attempts DROP COLUMN answer_type;
                 ALTER TABLE attempts DROP COLUMN answer;
                 PRAGMA user_version = 5;",
            )
            .unwrap();
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
        state: RecordedState::Queued { not_before: None },
        attempted: None,
        hold: 0,
        message: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_passes_the_suite() {
    exercise(&SqliteFixture::new("journal")).await;
}

#[tokio::test]
async fn only_its_owner_can_read_the_file() {
    let fixture = SqliteFixture::new("journal-mode");
    let journal = fixture.open("mode").await.unwrap();
    journal.record(&[accepted()]).await.unwrap();
    for file in fs::read_dir(fixture.0.join("mode")).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
    journal.close().await;
}

#[tokio::test]
async fn a_file_that_is_not_a_journal_is_refused_by_name() {
    let fixture = SqliteFixture::new("journal-garbage");
    fs::write(fixture.0.join("journal.db"), "garbage ".repeat(1_000)).unwrap();
    let refused = Journal::open(&fixture.0).unwrap_err();
    assert!(refused.contains("journal.db"), "{refused}");
}

#[tokio::test]
async fn a_closed_journal_says_so() {
    let fixture = SqliteFixture::new("journal-closed");
    let journal = fixture.open("closed").await.unwrap();
    journal.close().await;
    journal.close().await;
    let error = journal.record(&[accepted()]).await.unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_writes_everything_into_the_file() {
    let fixture = SqliteFixture::new("journal-recorder");
    let journal = fixture.open("recorder").await.unwrap();
    let recorder = Recorder::start(std::sync::Arc::new(journal.clone()), 10_000);
    let begun = Instant::now();
    for _ in 0..5_000 {
        recorder.record(accepted());
    }
    recorder.record_durably(accepted()).await.unwrap();
    recorder.close().await;
    assert_eq!(recorder.dropped(), 0);
    let count = journal.count(&Filter::default(), 0).await.unwrap();
    assert_eq!(count, 5_001);
    // Thousands a second and not tens: writes share their syncs.
    assert!(begun.elapsed() < Duration::from_secs(60));
    journal.close().await;
}
