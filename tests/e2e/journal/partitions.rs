//! Days past their retention are dropped as a whole, but for the callbacks in them that are unfinished.

use std::time::{Duration, Instant};

use journal::{Journal, JournalError, Origin, RecordedState, Retention};
use sqlx::{Connection as _, PgConnection};
use tests::Postgres;

use super::{DAY, accepted, now, origin, told};

const MONTH: Retention = Retention {
    callbacks: Duration::from_secs(30 * 24 * 3600),
    dead_letters: Duration::from_secs(30 * 24 * 3600),
    delivered: Duration::ZERO,
    audits: Duration::from_secs(365 * 24 * 3600),
    rollups: Duration::from_secs(30 * 24 * 3_600),
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// The partitions of a table, oldest first.
async fn partitions(url: &str, table: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let names = sqlx::query_scalar(
        "SELECT relname::text FROM pg_inherits JOIN pg_class ON oid = inhrelid \
         WHERE inhparent = $1::regclass ORDER BY relname",
    );
    let names = names.bind(table).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    names
}

async fn delivered(journal: &Journal, accepted_at: u64) -> Origin {
    let callback = origin(accepted_at);
    let records = [
        accepted(&callback),
        told(&callback, RecordedState::Delivered),
    ];
    journal.record(&records).await.unwrap();
    callback
}

/// Runs steps until nothing is left; returns how many callbacks were dropped. Like the gateway, it
/// repeats a step for which the server was too busy.
async fn retain(journal: &Journal, now: u64) -> u64 {
    let mut gone = 0;
    let began = Instant::now();
    loop {
        match journal.apply_retention(MONTH, now).await {
            Err(JournalError::Unavailable(_)) if began.elapsed() < TIMEOUT => {}
            step => {
                let step = step.unwrap();
                gone += step.callbacks;
                if !step.more {
                    return gone;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_day_past_its_retention_only_the_callbacks_that_wait_are_kept() {
    let url = Postgres::shared().await.database().await;
    let journal = Journal::connect(&url).unwrap();
    journal.migrate().await.unwrap();
    let now = now();
    let [first, second, third] = [40, 35, 33].map(|days| now - days * DAY);
    let gone = [
        delivered(&journal, first).await,
        delivered(&journal, first).await,
        delivered(&journal, third).await,
    ];
    let beside = delivered(&journal, second).await;
    let waiting = origin(second);
    journal.record(&[accepted(&waiting)]).await.unwrap();
    let young = delivered(&journal, now - 29 * DAY).await;

    assert_eq!(retain(&journal, now).await, 4);
    for callback in gone.iter().chain([&beside]) {
        assert_eq!(journal.find(callback.request_id).await.unwrap(), None);
    }
    for callback in [&waiting, &young] {
        assert!(journal.find(callback.request_id).await.unwrap().is_some());
    }
    // Two old days, today and two ahead; the same in both tables.
    let callbacks = partitions(&url, "callbacks").await;
    assert_eq!(callbacks.len(), 5, "{callbacks:?}");
    let attempts = partitions(&url, "attempts").await;
    let days = |names: &[String]| -> Vec<String> {
        let dates = names.iter().filter_map(|name| name.split('_').nth(1));
        dates.map(str::to_owned).collect()
    };
    assert_eq!(days(&callbacks), days(&attempts));

    let ended = told(&waiting, RecordedState::Delivered);
    journal.record(&[ended]).await.unwrap();
    assert_eq!(retain(&journal, now).await, 1);
    assert_eq!(journal.find(waiting.request_id).await.unwrap(), None);
    assert_eq!(partitions(&url, "callbacks").await.len(), 4);
    // A record for a dropped day creates it again.
    let late = delivered(&journal, first).await;
    assert!(journal.find(late.request_id).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_does_not_wait_for_a_long_reader() {
    let url = Postgres::shared().await.database().await;
    let journal = Journal::connect(&url).unwrap();
    journal.migrate().await.unwrap();
    let now = now();
    let old = delivered(&journal, now - 40 * DAY).await;

    let mut reader = PgConnection::connect(&url).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM callbacks")
        .execute(&mut *reading)
        .await
        .unwrap();
    let step = journal.apply_retention(MONTH, now).await.unwrap();
    assert_eq!((step.callbacks, step.more), (0, true));
    assert!(journal.find(old.request_id).await.unwrap().is_some());
    reading.rollback().await.unwrap();
    assert_eq!(retain(&journal, now).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_retention_drops_each_day_once() {
    let url = Postgres::shared().await.database().await;
    let journal = Journal::connect(&url).unwrap();
    journal.migrate().await.unwrap();
    let now = now();
    for days in 35..45 {
        delivered(&journal, now - days * DAY).await;
    }
    let mut processes = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let journal = Journal::connect(&url).unwrap();
        processes.spawn(async move { retain(&journal, now).await });
    }
    let gone: u64 = processes.join_all().await.into_iter().sum();
    assert_eq!(gone, 10);
    assert_eq!(partitions(&url, "callbacks").await.len(), 3);
}
