//! A journal that takes no writes: an accepted callback is never denied, not even after a crash.

use std::time::{Duration, Instant};

use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use tests::{SingleProcess, eventually};

use super::SOON;

async fn ask(gateway: &SingleProcess, method: Method, id: &str) -> (u16, Value) {
    let url = format!("http://{}/api/callback/{id}", gateway.address);
    let answer = reqwest::Client::new()
        .request(method, url)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
    )
}

async fn post(gateway: &SingleProcess) -> String {
    let callback = json!({
        "callback_url": "http://127.0.0.1:9/", "app_id": "a", "message_type": "t",
        "request_message": {}, "options": { "delay_seconds": 600 },
    });
    let url = format!("http://{}/api/callback", gateway.address);
    let posted = reqwest::Client::new()
        .post(url)
        .header("content-type", "application/json")
        .body(callback.to_string());
    let answer = posted.send().await.unwrap();
    let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    // Queued, but a cancellation would not find it.
    assert_eq!(body["code"], "500", "{body}");
    body["request_id"].as_str().unwrap().to_owned()
}

async fn is_never_denied(gateway: &SingleProcess, id: &str, within: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < within {
        let asked = [Method::GET, Method::DELETE].map(|method| ask(gateway, method, id));
        for (status, body) in futures_util::future::join_all(asked).await {
            assert_eq!(status, 503, "{body}");
            assert_eq!(body["request_id"], id, "{body}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_is_never_denied_while_the_journal_takes_no_writes_nor_after_a_crash() {
    let variables = [("RINGBACK__BROKER__PUBLISH_TIMEOUT", "1s")];
    let mut gateway = SingleProcess::start(&variables).await;
    // The record is in memory alone.
    std::fs::remove_dir_all(gateway.directory().join("spool")).unwrap();
    let journal = gateway.directory().join("journal.db");
    let locking = Connection::open(&journal).unwrap();
    locking.execute_batch("BEGIN IMMEDIATE").unwrap();
    let id = post(&gateway).await;
    // The rule before recorders numbered their batches took 8 s.
    is_never_denied(&gateway, &id, Duration::from_secs(10)).await;
    eventually("failing writes", SOON, async || {
        let (_, page) = gateway.get_details("/readyz").await?;
        if !page.contains("writes have failed for") {
            return Err(page);
        }
        let (_, metrics) = gateway.get_details("/metrics").await?;
        let down = metrics.contains("ringback_journal_up{kind=\"sqlite\"} 0");
        let failed = !metrics.contains("ringback_journal_write_failures_total 0");
        if down && failed { Ok(()) } else { Err(metrics) }
    })
    .await;

    gateway.kill9();
    locking.execute_batch("ROLLBACK").unwrap();
    drop(locking);
    gateway.spawn();
    gateway.ready().await;
    // Its record is lost, its message waits.
    is_never_denied(&gateway, &id, Duration::from_secs(9)).await;
    let foreign = uuid::Uuid::now_v7().to_string();
    eventually("a 404 for an id that nobody has", SOON, async || {
        let (status, body) = ask(&gateway, Method::GET, &foreign).await;
        if status == 404 {
            Ok(())
        } else {
            Err(body.to_string())
        }
    })
    .await;
}
