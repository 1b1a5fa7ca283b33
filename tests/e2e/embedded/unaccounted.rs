//! A callback whose message is gone is marked `unaccounted`, and one that waits never is.

use rusqlite::Connection;
use serde_json::Value;
use tests::callers::{Wire, acceptance, message, next_token};
use tests::ledger::Acceptance;
use tests::scenario::single_process::stored;
use tests::{SingleProcess, eventually};

use super::SOON;

/// POSTs a callback that is due in so many seconds.
async fn accepted(wire: &mut Wire, delay: u32) -> String {
    let message = message(next_token());
    let body = format!(
        r#"{{"callback_url":"http://127.0.0.1:9/","app_id":"a","message_type":"t","request_message":{message},"options":{{"delay_seconds":{delay}}}}}"#
    );
    let (status, answer) = wire.post(body.as_bytes()).await.unwrap();
    let acceptance = acceptance(status, &answer);
    let id = match &acceptance {
        Acceptance::Accepted(id) => Some(id.clone()),
        Acceptance::Refused | Acceptance::Unknown(_) => None,
    };
    id.ok_or(acceptance).unwrap()
}

async fn report(gateway: &SingleProcess, id: &str) -> Result<Value, String> {
    let (status, body) = gateway.get(&format!("/api/callback/{id}")).await?;
    if status == 200 {
        serde_json::from_str(&body).map_err(|error| error.to_string())
    } else {
        Err(format!("{status}: {body}"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_whose_message_is_gone_is_unaccounted_and_its_caller_is_never_denied() {
    let after = [("RINGBACK__JOURNAL__UNACCOUNTED_AFTER", "3s")];
    let mut gateway = SingleProcess::start(&after).await;
    let mut wire = Wire::to(gateway.address);
    let (lost, waits) = (accepted(&mut wire, 5).await, accepted(&mut wire, 600).await);
    eventually("both records", SOON, async || {
        report(&gateway, &lost).await?;
        report(&gateway, &waits).await
    })
    .await;
    gateway.stop().await;
    let queue = Connection::open(gateway.directory().join("queue.db")).unwrap();
    let removed = queue.execute("DELETE FROM messages WHERE id = ?1", [&lost]);
    assert_eq!(removed, Ok(1));
    drop(queue);
    gateway.spawn();
    gateway.ready().await;
    eventually("the callback to be marked", SOON, async || {
        let (_, page) = gateway.get_details("/metrics").await?;
        let marked = page.contains("ringback_callbacks_unaccounted_total 1\n");
        marked.then_some(()).ok_or("no callback".to_owned())
    })
    .await;
    let told = report(&gateway, &lost).await.unwrap();
    assert_eq!(
        (&told["code"], &told["status"]),
        (&"202".into(), &"queued".into())
    );
    let told = report(&gateway, &waits).await.unwrap();
    assert!(told.get("next_attempt_at").is_some(), "{told}");
    let left = stored(&gateway.directory());
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].1.request_id.to_string(), waits);
}
