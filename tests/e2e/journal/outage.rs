//! An outage of the database is reported soon, and ends without help.

use std::time::{Duration, Instant};

use journal::{Journal, JournalError};
use sqlx::{Connection as _, PgConnection};
use tests::{BrokerUnderTest, Gateway, GatewayOptions, GatewayRole, Postgres, eventually};

use super::{accepted, now, origin};

const RECOVERY: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_reported_soon_and_ends_without_help() {
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
async fn a_missing_database_is_an_outage() {
    let url = Postgres::shared().await.url("not_there");
    let journal = Journal::connect(&url).unwrap();
    let error = journal.migrate().await.unwrap_err();
    assert!(matches!(error, JournalError::Unavailable(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_wait_in_the_queue_while_the_tables_are_of_another_version() {
    let url = Postgres::shared().await.database().await;
    Journal::connect(&url).unwrap().migrate().await.unwrap();
    let mut database = PgConnection::connect(&url).await.unwrap();
    let set_version = "UPDATE migrations SET version = version + $1 \
                       WHERE version = (SELECT max(version) FROM migrations)";
    sqlx::query(set_version)
        .bind(1)
        .execute(&mut database)
        .await
        .unwrap();

    let options = GatewayOptions::default().with("RINGBACK__JOURNAL__URL", &url);
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let id = gateway.post(&callback()).await.accepted();
    eventually("the state on /readyz", RECOVERY, async || {
        let (_, page) = gateway
            .get_details(GatewayRole::Dispatcher(0), "/readyz")
            .await;
        page.contains("incompatible").then_some(()).ok_or(page)
    })
    .await;
    eventually("the records in the queue", RECOVERY, async || {
        let waiting = gateway.queue_depth("journal").await;
        (waiting > 0).then_some(()).ok_or(waiting.to_string())
    })
    .await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM callbacks")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(rows, 0);

    sqlx::query(set_version)
        .bind(-1)
        .execute(&mut database)
        .await
        .unwrap();
    eventually("the callback in the journal", RECOVERY, async || {
        let answer = gateway.query(&id).await;
        if answer.status == 200 {
            Ok(())
        } else {
            Err(answer.status.to_string())
        }
    })
    .await;
}

fn callback() -> serde_json::Value {
    serde_json::json!({
        "callback_url": "http://127.0.0.1:9/",
        "app_id": "a",
        "message_type": "t",
        "request_message": {},
    })
}
