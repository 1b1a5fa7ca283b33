//! What does a journal say while its database is gone, and does it come back by itself?

use std::time::{Duration, Instant};

use journal::{Journal, JournalError};
use tests::{Postgres, eventually};

use super::{accepted, now, origin};

const RECOVERY: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_told_soon_and_forgotten_by_itself() {
    let postgres = Postgres::start().await; // Its own: it is killed.
    let url = postgres.database().await;
    let journal = Journal::connect(&url).unwrap();
    journal.migrate().await.unwrap();
    let before = origin(now());
    journal.record(&[accepted(&before)]).await.unwrap();

    for by_kill in [false, true] {
        if by_kill {
            postgres.kill().await;
        } else {
            postgres.stop().await;
        }
        let during = origin(now());
        let asked = Instant::now();
        let error = journal.record(&[accepted(&during)]).await.unwrap_err();
        assert!(matches!(error, JournalError::Unavailable(_)), "{error}");
        let error = journal.find(before.request_id).await.unwrap_err();
        assert!(matches!(error, JournalError::Unavailable(_)), "{error}");
        assert!(asked.elapsed() < Duration::from_secs(20));

        postgres.restart().await;
        eventually("the journal to be back", RECOVERY, async || {
            let stored = journal.record(&[accepted(&during)]).await;
            stored.map_err(|error| error.to_string())
        })
        .await;
        for known in [&before, &during] {
            let found = journal.find(known.request_id).await.unwrap();
            assert!(found.is_some(), "a commit is lost");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_there_yet_is_an_outage() {
    let url = Postgres::shared().await.url("not_there");
    let journal = Journal::connect(&url).unwrap();
    let error = journal.migrate().await.unwrap_err();
    assert!(matches!(error, JournalError::Unavailable(_)), "{error}");
}
