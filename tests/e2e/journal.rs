//! Does PostgreSQL keep every promise of the journal, and those that it alone makes?

mod outage;
mod partitions;
mod tls;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use journal::conformance::{Rig, exercise};
use journal::{Journal, Origin, Record, State};
use tests::Postgres;
use tokio::sync::Mutex;
use uuid::Uuid;

/// Each name is a database.
struct OnPostgres(Mutex<HashMap<String, String>>);

impl Rig for OnPostgres {
    async fn open(&self, name: &str) -> Journal {
        let mut urls = self.0.lock().await;
        if !urls.contains_key(name) {
            let url = Postgres::shared().await.database().await;
            urls.insert(name.to_owned(), url);
        }
        Journal::connect(&urls[name]).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_every_promise_of_a_journal() {
    exercise(&OnPostgres(Mutex::new(HashMap::new()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_migrate_at_once_all_succeed() {
    let url = Postgres::shared().await.database().await;
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let journal = Journal::connect(&url).unwrap();
        processes.spawn(async move {
            journal.migrate().await.unwrap();
            // And the first batch of each finds a day without its partition.
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

/// A callback accepted at this moment (Unix ms).
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
    told(origin, State::Queued { not_before: None })
}

/// A record at the moment of acceptance.
fn told(origin: &Origin, state: State) -> Record {
    Record {
        origin: origin.clone(),
        generation: 0,
        attempt: 1,
        at: origin.accepted_at,
        state,
        attempted: None,
        dead_letter: None,
    }
}
