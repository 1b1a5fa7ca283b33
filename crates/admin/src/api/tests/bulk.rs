//! Acts on many callbacks, on a real journal and a real queue.

use broker::Queue;
use contract::{CallbackStatus, Message};
use journal::{Origin, RecordedState};
use runtime::clock::now_ms;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ApiFixture, TestClient, all_pages, dead, message, record, with_actor};

const HOUR: u64 = 3_600_000;

/// A callback that waits for an hour, in the journal with its message.
async fn waiting(fixture: &ApiFixture, app: &str) -> Message {
    let message = message(app);
    let next_attempt_at = now_ms() + HOUR;
    let mut failed = record(&message, RecordedState::Retrying { next_attempt_at });
    failed.message = Some(message.encode().into());
    fixture.journal.record(&[failed]).await.unwrap();
    message
}

async fn status(fixture: &ApiFixture, id: Uuid) -> CallbackStatus {
    fixture.journal.find(id).await.unwrap().unwrap().status
}

/// Sends steps until nothing more matches: the sum of what they changed.
async fn steps(client: &TestClient, path: &str, body: Value) -> (u64, u64) {
    let (mut changed, mut requested) = (0, 0);
    let mut body = with_actor(body);
    loop {
        let (status, done) = client.post(path, body.clone()).await;
        assert_eq!(status, 200, "{done}");
        changed += done["changed"].as_u64().unwrap();
        requested += done["requested"].as_u64().unwrap();
        if let Some(next) = done.get("next") {
            body["after"] = next.clone();
        }
        if done["more"] == false {
            return (changed, requested);
        }
    }
}

async fn dry_run(client: &TestClient, path: &str, mut body: Value) -> Value {
    body["dry_run"] = json!(true);
    let (status, counted) = client.post(path, body).await;
    assert_eq!(status, 200, "{counted}");
    counted
}

#[tokio::test]
async fn what_waits_is_retried_now_each_once_and_the_rest_is_counted() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    for _ in 0..5 {
        waiting(&fixture, "demo").await;
    }
    waiting(&fixture, "other").await;
    // Never failed: next in line anyway.
    let new = message("demo");
    let queued = RecordedState::Queued { not_before: None };
    fixture
        .journal
        .record(&[record(&new, queued)])
        .await
        .unwrap();
    let path = "/admin/v1/callbacks/retry-now";
    let filter = json!({"filter": {"app_id": "demo"}, "limit": 2});
    let counted = dry_run(&client, path, filter.clone()).await;
    assert_eq!(counted["matched"], 5);
    let untouched = &counted["untouched"];
    assert_eq!(
        (&untouched[0]["count"], &untouched[0]["reason"]),
        (&json!(1), &json!("no_message"))
    );
    let mut operation = filter.clone();
    operation["operation"] = json!(Uuid::now_v7());
    assert_eq!(steps(&client, path, operation).await, (5, 0));
    for _ in 0..5 {
        let message = fixture.next(Queue::Retry).await;
        assert_eq!(
            (message.generation, message.attempt, message.hold),
            (0, 4, 1)
        );
        assert_eq!(message.app_id, "demo");
    }
    let counted = dry_run(&client, path, filter).await;
    assert_eq!(counted["matched"], 0, "they are due");
    let entries = all_pages(&client, "/admin/v1/audit").await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(
        (&entries[0]["action"], &entries[0]["count"]),
        (&json!("retry_now"), &json!(5))
    );
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn each_id_that_cannot_be_retried_is_named_with_its_reason() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let waits = waiting(&fixture, "demo").await.request_id;
    let ended = fixture.dead_letter("demo", "exhausted").await.request_id;
    let without = message("demo");
    let next_attempt_at = now_ms() + HOUR;
    let retrying = record(&without, RecordedState::Retrying { next_attempt_at });
    fixture.journal.record(&[retrying]).await.unwrap();
    let stranger = Uuid::now_v7();
    let ids = json!({"ids": [waits, ended, without.request_id, stranger]});
    let reasons = |answer: &Value| {
        let each = answer["not_changed"].as_array().unwrap().iter();
        each.map(|it| it["reason"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let expected = ["not_waiting", "no_message", "unknown"];
    let path = "/admin/v1/callbacks/retry-now";
    let counted = dry_run(&client, path, ids.clone()).await;
    assert_eq!(
        (&counted["matched"], reasons(&counted)),
        (&json!(1), expected.map(str::to_owned).to_vec())
    );
    let (_, done) = client.post(path, with_actor(ids)).await;
    assert_eq!(
        (&done["changed"], reasons(&done)),
        (&json!(1), expected.map(str::to_owned).to_vec())
    );
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_filter_cancels_what_waits_and_its_messages_leave_the_queue() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let mut ids = Vec::new();
    for _ in 0..4 {
        let message = waiting(&fixture, "demo").await;
        let delayed = dispatcher::to_broker_message(&message);
        let delay = std::time::Duration::from_secs(3_600);
        fixture.broker.publish_later(delayed, delay).await.unwrap();
        ids.push(message.request_id);
    }
    let kept = fixture.dead_letter("demo", "exhausted").await.request_id;
    let path = "/admin/v1/callbacks/cancel";
    let filter = json!({"filter": {"app_id": "demo"}, "limit": 3});
    assert_eq!(dry_run(&client, path, filter.clone()).await["matched"], 4);
    assert_eq!(steps(&client, path, filter).await, (4, 0));
    for id in &ids {
        assert_eq!(status(&fixture, *id).await, CallbackStatus::Cancelled);
    }
    let texts = ids.iter().map(Uuid::to_string).collect();
    let held = fixture.broker.held_ids(texts).await.unwrap();
    assert!(held.is_empty(), "{held:?}");
    let (_, done) = client.post(path, with_actor(json!({"ids": [kept]}))).await;
    assert_eq!(done["not_changed"][0]["detail"], "it has ended: it is dead");
    let (code, problem) = client
        .post(path, with_actor(json!({"filter": {"status": "dead"}})))
        .await;
    assert_eq!((code, &problem["code"]), (400, &json!("invalid_parameter")));
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_delivered_callback_is_replayed_while_its_message_is_kept_and_refused_in_words_after() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let (kept, gone) = (message("demo"), message("other"));
    let mut delivered = record(&kept, RecordedState::Delivered);
    delivered.message = Some(kept.encode().into());
    let without = record(&gone, RecordedState::Delivered);
    fixture.journal.record(&[delivered, without]).await.unwrap();
    let path = "/admin/v1/callbacks/replay";
    let body = |app: &str| json!({"filter": {"status": "delivered", "app_id": app}});
    let mut refused = body("other");
    refused["dry_run"] = json!(true);
    let (code, problem) = client.post(path, refused).await;
    assert_eq!((code, &problem["code"]), (409, &json!("not_kept")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("journal.keep_delivered"), "{detail}");
    assert_eq!(dry_run(&client, path, body("demo")).await["matched"], 1);
    assert_eq!(steps(&client, path, body("demo")).await, (1, 0));
    let replayed = fixture.next(Queue::Retry).await;
    assert_eq!(
        (replayed.request_id, replayed.generation),
        (kept.request_id, 1)
    );
    let (_, done) = client
        .post(path, with_actor(json!({"ids": [gone.request_id]})))
        .await;
    assert_eq!(done["not_changed"][0]["reason"], "not_kept");
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn an_expedited_target_gets_all_that_waits_for_it() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    for _ in 0..3 {
        waiting(&fixture, "demo").await;
    }
    let path = "/admin/v1/expedite";
    let target = json!({"target": "https://h.example/any"});
    assert_eq!(dry_run(&client, path, target.clone()).await["matched"], 3);
    let (_, done) = client.post(path, with_actor(target)).await;
    // No dispatcher runs in this process.
    assert_eq!((&done["changed"], &done["probed"]), (&json!(3), &json!(0)));
    let elsewhere = json!({"target": "https://elsewhere.example"});
    assert_eq!(dry_run(&client, path, elsewhere).await["matched"], 0);
    let unknown = with_actor(json!({"callee_no": "EO404"}));
    let (code, problem) = client.post(path, unknown).await;
    assert_eq!((code, &problem["code"]), (404, &json!("unknown_callee")));
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_recovery_is_refused_while_the_queues_hold_messages_and_continued_by_the_same_request() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    for _ in 0..3 {
        waiting(&fixture, "demo").await;
    }
    let lost = message("demo");
    let queued = RecordedState::Queued { not_before: None };
    fixture
        .journal
        .record(&[record(&lost, queued)])
        .await
        .unwrap();
    let path = "/admin/v1/recover";
    let counted = dry_run(&client, path, json!({"filter": {}})).await;
    assert_eq!(
        (&counted["matched"], &counted["continues"]),
        (&json!(3), &Value::Null)
    );
    assert_eq!(counted["untouched"][0]["count"], 1);
    let step = with_actor(json!({
        "filter": {"updated_before": counted["now"]}, "limit": 2
    }));
    let (_, done) = client.post(path, step.clone()).await;
    assert_eq!((&done["changed"], &done["more"]), (&json!(2), &json!(true)));
    // The queues hold its messages now, and it is interrupted here.
    let mut depths = fixture.broker.depths();
    let two = depths.wait_for(|it| it.delayed.current() == Some(2));
    tokio::time::timeout(std::time::Duration::from_secs(20), two)
        .await
        .unwrap()
        .unwrap();
    let again = dry_run(&client, path, json!({"filter": {}})).await;
    assert_eq!(
        (&again["continues"], &again["queued"]),
        (&counted["now"], &json!(2))
    );
    let (code, refused) = client
        .post(path, with_actor(json!({"filter": {"app_id": "demo"}})))
        .await;
    assert_eq!((code, &refused["code"]), (409, &json!("queues_not_empty")));
    let (_, done) = client.post(path, step.clone()).await;
    assert_eq!(done["changed"], 1);
    let (_, done) = client.post(path, step).await;
    assert_eq!(
        (&done["changed"], &done["more"]),
        (&json!(0), &json!(false))
    );
    // Due times are kept, also by the message.
    let pages = all_pages(&client, "/admin/v1/callbacks?status=retrying").await;
    assert_eq!(pages.len(), 3);
    assert!(pages.iter().all(|it| it["has_message"] == true));
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn an_erasure_leaves_the_row_and_takes_what_waits_only_after_its_cancellation() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let waits = waiting(&fixture, "demo").await.request_id;
    let letter = message("demo");
    let mut death = record(&letter, dead("rejected"));
    let url = Some("https://h.example/people/7".to_owned());
    death.origin = Origin {
        callback_url: url,
        ..death.origin
    };
    fixture.journal.record(&[death]).await.unwrap();
    let other = fixture.dead_letter("other", "exhausted").await.request_id;
    let path = "/admin/v1/callbacks/erase";
    let filter = json!({"filter": {"app_id": "demo"}});
    let counted = dry_run(&client, path, filter.clone()).await;
    assert_eq!(
        (&counted["matched"], &counted["untouched"][0]["reason"]),
        (&json!(1), &json!("waits"))
    );
    let (_, done) = client.post(path, with_actor(json!({"ids": [waits]}))).await;
    assert_eq!(done["not_changed"][0]["reason"], "waits");
    assert_eq!(steps(&client, path, filter.clone()).await, (1, 0));
    let show = format!("/admin/v1/dead-letters/{}", letter.request_id);
    let (_, shown) = client.get(&show).await;
    assert_eq!(
        (&shown["status"], &shown["discarded"]),
        (&json!("dead"), &json!(true))
    );
    assert_eq!(
        (&shown["message"], shown.get("callback_url")),
        (&Value::Null, None)
    );
    let mut cancelling = filter;
    cancelling["cancel"] = json!(true);
    assert_eq!(steps(&client, path, cancelling).await, (0, 0));
    let found = fixture.journal.find(waits).await.unwrap().unwrap();
    assert_eq!(
        (found.status, found.has_message),
        (CallbackStatus::Cancelled, false)
    );
    let kept = fixture.journal.dead_letter(other).await.unwrap();
    assert!(kept.is_some());
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn lists_say_what_is_due_and_never_that_it_is_being_delivered() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    waiting(&fixture, "demo").await;
    let due = message("demo");
    let queued = RecordedState::Queued { not_before: None };
    let queued = record(&due, queued);
    fixture.journal.record(&[queued]).await.unwrap();
    let listed = all_pages(&client, "/admin/v1/callbacks?status=due").await;
    let [one] = listed.as_slice() else {
        panic!("{listed:?}");
    };
    assert_eq!(one["request_id"], json!(due.request_id));
    assert_eq!(one["status"], "queued", "whether it is held is not known");
    assert!(one["due_since"].is_string(), "{one}");
    let all = all_pages(&client, "/admin/v1/callbacks").await;
    let later = all.iter().find(|it| it["status"] == "retrying").unwrap();
    assert!(later.get("due_since").is_none(), "{later}");
    let (status, problem) = client.get("/admin/v1/callbacks?status=delivering").await;
    assert_eq!(status, 400, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("status=due selects what is due"),
        "{detail}"
    );
    drop(client);
    fixture.close().await;
}

#[tokio::test]
async fn a_dry_run_says_when_all_are_attempted_or_that_it_is_not_known() {
    let fixture = ApiFixture::new().await;
    let client = fixture.serve(None, true);
    let message = waiting(&fixture, "demo").await;
    let path = "/admin/v1/callbacks/retry-now";
    for selection in [
        json!({"filter": {"app_id": "demo"}}),
        json!({"ids": [message.request_id]}),
    ] {
        let mut body = selection.clone();
        body["rate"] = json!(10);
        let counted = dry_run(&client, path, body).await;
        // No process of the fixture calls anything.
        let expected = json!({
            "done_in_s": null,
            "extrapolated": false,
            "targets": [{
                "target": "https://h.example:443",
                "count": 1,
                "per_second": null,
                "unknown": "it was not called in the last five minutes",
            }],
        });
        assert_eq!(counted["estimate"], expected, "{selection}");
        let mut step = with_actor(selection);
        step["rate"] = json!(10);
        let (status, problem) = client.post(path, step).await;
        assert_eq!(status, 400, "{problem}");
    }
    let target = json!({"target": "https://h.example/", "rate": 10});
    let counted = dry_run(&client, "/admin/v1/expedite", target).await;
    assert_eq!(counted["estimate"]["targets"][0]["count"], 1, "{counted}");
    drop(client);
    fixture.close().await;
}
