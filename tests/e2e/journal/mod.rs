//! The PostgreSQL journal: the conformance suite, and what only PostgreSQL promises.
//!
//! - `outage.rs`: the database is stopped and killed
//! - `partitions.rs`: retention by partitions
//! - `standby.rs`: a primary, and a standby that takes over
//! - `truth.rs`: records that cannot be written
//! - `tls.rs`: TLS by `journal.url`
//! - `without_journal.rs`: answers of a gateway without a journal

mod outage;
mod partitions;
mod standby;
mod tls;
mod truth;
mod without_journal;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use journal::conformance::{JournalFixture, exercise};
use journal::{Journal, Origin, Record, RecordedState};
use sqlx::{Connection as _, PgConnection};
use tests::Postgres;
use tokio::sync::Mutex;
use uuid::Uuid;

/// One database per name.
struct OnPostgres(Mutex<HashMap<String, String>>);

impl JournalFixture for OnPostgres {
    async fn open(&self, name: &str) -> Result<Journal, String> {
        let mut urls = self.0.lock().await;
        if !urls.contains_key(name) {
            let url = Postgres::shared().await.database().await;
            urls.insert(name.to_owned(), url);
        }
        Journal::connect(&urls[name])
    }

    fn schema_version(&self) -> u32 {
        7
    }

    async fn age_key(&self, name: &str, key: &str, ms: u64) {
        let url = self.0.lock().await[name].clone();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let age = sqlx::query(
            "UPDATE idempotency_keys SET claimed_at = claimed_at - $2,
             lease_until = lease_until - $2 WHERE app_id = 'crm' AND key = $1",
        );
        let aged = age.bind(key).bind(i64::try_from(ms).unwrap());
        let aged = aged.execute(&mut connection).await.unwrap();
        assert_eq!(aged.rows_affected(), 1);
    }

    async fn set_schema_version(&self, name: &str, version: u32) {
        let url = self.0.lock().await[name].clone();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let version = i32::try_from(version).unwrap();
        for sql in [
            "DELETE FROM migrations WHERE version <> $1",
            "INSERT INTO migrations (version) VALUES ($1) ON CONFLICT DO NOTHING",
        ] {
            let change = sqlx::query(sql).bind(version);
            change.execute(&mut connection).await.unwrap();
        }
    }

    async fn downgrade_to_version_3(&self, name: &str) {
        let url = self.0.lock().await[name].clone();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let undo = sqlx::raw_sql(
            "DROP TRIGGER callbacks_inserted ON callbacks;
             DROP TRIGGER callbacks_updated ON callbacks;
             DROP TRIGGER callbacks_deleted ON callbacks;
             DROP FUNCTION count_callbacks; DROP FUNCTION app_counts_shard;
             DROP TABLE app_counts, leases, recorders;
             DROP INDEX idempotency_keys_id;
             DROP INDEX audit_log_operation;
             ALTER TABLE audit_log DROP COLUMN operation, DROP COLUMN updated_at;
             ALTER TABLE callbacks DROP COLUMN retention_discarded_at,
                 DROP COLUMN unaccounted_from, DROP COLUMN unaccounted_at, DROP COLUMN hold;
             DROP TABLE taken_retries, rollups;
             ALTER TABLE callbacks DROP COLUMN replaced;
             ALTER TABLE attempts DROP COLUMN cause, DROP COLUMN answer_type, DROP COLUMN answer;
             DELETE FROM migrations WHERE version > 3;",
        );
        undo.execute(&mut connection).await.unwrap();
    }

    async fn downgrade_to_version_5(&self, name: &str) {
        let url = self.0.lock().await[name].clone();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let undo = sqlx::raw_sql(
            "ALTER TABLE callbacks DROP COLUMN hold;
             DROP TABLE taken_retries, rollups;
             ALTER TABLE callbacks DROP COLUMN replaced;
             ALTER TABLE attempts DROP COLUMN cause, DROP COLUMN answer_type, DROP COLUMN answer;
             DELETE FROM migrations WHERE version > 5;",
        );
        undo.execute(&mut connection).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_passes_the_journals_conformance_suite() {
    exercise(&OnPostgres(Mutex::new(HashMap::new()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_have_the_same_tables_and_columns() {
    let url = Postgres::shared().await.database().await;
    Journal::connect(&url).unwrap().migrate().await.unwrap();
    let mut postgres = PgConnection::connect(&url).await.unwrap();
    let mut in_postgres: Vec<String> = sqlx::query_scalar(
        "SELECT table_name || '.' || column_name FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name <> 'migrations'",
    )
    .fetch_all(&mut postgres)
    .await
    .unwrap();
    // The partitions of a day have the columns of their table.
    in_postgres.retain(|column| !column.contains("_20"));
    // What only the upsert of PostgreSQL needs.
    in_postgres.retain(|column| column != "callbacks.replaced");

    let directory = std::env::temp_dir().join(format!("ringback-columns-{}", Uuid::new_v4()));
    std::fs::create_dir(&directory).unwrap();
    Journal::open(&directory).unwrap().close().await;
    let sqlite = rusqlite::Connection::open(directory.join("journal.db")).unwrap();
    let mut columns = sqlite
        .prepare(
            "SELECT tables.name || '.' || columns.name
             FROM sqlite_master tables, pragma_table_info(tables.name) columns
             WHERE tables.type = 'table'",
        )
        .unwrap();
    let columns = columns.query_map([], |row| row.get(0)).unwrap();
    let mut in_sqlite: Vec<String> = columns.map(Result::unwrap).collect();
    std::fs::remove_dir_all(&directory).unwrap();

    in_postgres.sort();
    in_sqlite.sort();
    assert!(in_sqlite.len() > 30, "{in_sqlite:?}");
    assert_eq!(in_postgres, in_sqlite);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_migrations_all_succeed() {
    let url = Postgres::shared().await.database().await;
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let journal = Journal::connect(&url).unwrap();
        processes.spawn(async move {
            journal.migrate().await.unwrap();
            // The first batch of each finds a day without its partition.
            let callback = origin(now());
            journal.record(&[accepted(&callback)]).await.unwrap();
            journal.find(callback.request_id).await.unwrap().unwrap();
        });
    }
    while let Some(ended) = processes.join_next().await {
        ended.unwrap();
    }
}

const DAY: u64 = 24 * 60 * 60 * 1000;

/// Unix ms.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A callback accepted at this time (Unix ms).
fn origin(accepted_at: u64) -> Origin {
    let unique = Uuid::new_v4().into_bytes();
    let id =
        uuid::Builder::from_unix_timestamp_millis(accepted_at, unique[..10].try_into().unwrap());
    Origin {
        request_id: id.into_uuid(),
        app_id: "crm".to_owned(),
        caller_no: None,
        callee_no: None,
        message_type: "order.paid".to_owned(),
        callback_url: Some("https://callee.example/paid".to_owned()),
        target: "https://callee.example:443".to_owned(),
        accepted_at,
    }
}

fn accepted(origin: &Origin) -> Record {
    told(origin, RecordedState::Queued { not_before: None })
}

/// A record at the time of acceptance.
fn told(origin: &Origin, state: RecordedState) -> Record {
    Record {
        origin: origin.clone(),
        generation: 0,
        attempt: 1,
        at: origin.accepted_at,
        state,
        attempted: None,
        hold: 0,
        message: None,
    }
}
