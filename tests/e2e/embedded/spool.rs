//! The journal takes no records for a while, and the process is killed meanwhile.

use rusqlite::Connection;
use serde_json::Value;
use tests::callers::accepted_ids;
use tests::{Callee, Callers, SingleProcess, eventually};

use super::{SOON, STUCK, delivered};

const CALLBACKS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_has_delivered_is_known_although_its_journal_took_nothing() {
    let callee = Callee::start_with_full_log().await;
    let mut gateway = SingleProcess::start(&[]).await;
    let journal = Connection::open(gateway.directory().join("journal.db")).unwrap();
    // No other writer until it ends.
    journal.execute_batch("BEGIN IMMEDIATE").unwrap();
    let targets = [callee.url("/ok")];
    let callers = Callers::start(gateway.address, &targets, 8, CALLBACKS.try_into().unwrap());
    let answers = callers.done().await;
    let ids: Vec<&str> = accepted_ids(&answers).collect();
    assert_eq!(ids.len(), CALLBACKS);
    eventually("all delivered", STUCK, async || {
        let count = delivered(&callee).len();
        (count == CALLBACKS).then_some(()).ok_or(count.to_string())
    })
    .await;
    // Accepted and delivered.
    let all = format!("ringback_journal_spooled_records {}\n", 2 * CALLBACKS);
    eventually("all records in the spool", STUCK, async || {
        let (_, page) = gateway.get_details("/metrics").await?;
        let found = page.lines().find(|line| line.contains("_spooled_"));
        let found = found.unwrap_or_default().to_owned();
        page.contains(&all).then_some(()).ok_or(found)
    })
    .await;

    gateway.kill9();
    drop(journal);
    gateway.spawn();
    gateway.ready().await;
    for id in ids {
        eventually("the callback's end", SOON, async || {
            let path = format!("/api/callback/{id}");
            let (status, body) = gateway.get(&path).await?;
            assert!(matches!(status, 200 | 503), "{id} is denied: {body}");
            let report: Value = serde_json::from_str(&body).unwrap();
            (report["status"] == "delivered").then_some(()).ok_or(body)
        })
        .await;
    }
}
