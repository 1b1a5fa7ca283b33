//! Do the operators' routes do what they say, on a real journal and a real queue?

mod ground;
mod who;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use boot::Live;
use boot::settings::AdminSettings;
use broker::Lane;
use delivery::Parties;
use dispatcher::{Pauses, Targets};
use journal::{State, Status};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Tools, moment, serve};
pub(crate) use ground::{Ground, dead, letter, record};

fn signed(mut body: Value) -> Value {
    body["who"] = json!("me@here");
    body["reason"] = json!("the target is back");
    body
}

#[tokio::test]
async fn parallel_replays_bring_each_dead_letter_back_once() {
    let ground = Ground::new().await;
    let asking = ground.open(None, true);
    let mut expected = HashSet::new();
    for _ in 0..30 {
        expected.insert(ground.give_up("demo", "exhausted").await.request_id);
    }
    ground.give_up("other", "exhausted").await;
    let filter = json!({"filter": {"app_id": "demo"}, "limit": 1000});
    let mut dry = filter.clone();
    dry["dry_run"] = json!(true);
    let (status, counted) = asking.post("/api/dead/replay", dry).await;
    assert_eq!((status, &counted["matched"]), (200, &json!(30)));

    let wish = || asking.post("/api/dead/replay", signed(filter.clone()));
    let ((_, one), (_, two)) = tokio::join!(wish(), wish());
    let sum = one["replayed"].as_u64().unwrap() + two["replayed"].as_u64().unwrap();
    assert_eq!(sum, 30, "{one} {two}");
    for _ in 0..30 {
        let message = ground.next(Lane::Retry).await;
        assert_eq!((message.generation, message.attempt), (1, 1));
        assert_eq!(message.request_message, r#"{ "n" : 1 }"#);
        assert!(expected.remove(&message.request_id), "twice");
    }
    let (_, left) = asking.get("/api/dead").await;
    assert_eq!(left["callbacks"].as_array().unwrap().len(), 1);
    let (_, log) = asking.get("/api/audit").await;
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{log}");
    for entry in entries {
        assert_eq!(entry["action"], "replay");
        assert_eq!(entry["who"], "me@here");
        assert_eq!(entry["subject"], "app_id demo");
        assert_eq!(entry["reason"], "the target is back");
    }
    drop(asking);
    ground.end().await;
}

#[tokio::test]
async fn one_dead_letter_is_shown_replayed_and_dead_no_more() {
    let ground = Ground::new().await;
    let asking = ground.open(None, true);
    let id = ground.give_up("demo", "rejected").await.request_id;
    let (status, shown) = asking.get(&format!("/api/dead/{id}")).await;
    assert_eq!((status, &shown["reason"]), (200, &json!("rejected")));
    assert_eq!(shown["message"]["request_message"], json!({"n": 1}));
    assert!(
        shown["why"].as_str().unwrap().contains("will never do"),
        "{shown}"
    );

    let stranger = Uuid::now_v7();
    let wish = signed(json!({"ids": [id, stranger]}));
    let (_, done) = asking.post("/api/dead/replay", wish.clone()).await;
    assert_eq!(
        (&done["replayed"], &done["unknown"]),
        (&json!(1), &json!([stranger]))
    );
    let (_, again) = asking.post("/api/dead/replay", wish).await;
    assert_eq!(
        (&again["replayed"], &again["not_dead"]),
        (&json!(0), &json!([id]))
    );
    let (status, refused) = asking.get(&format!("/api/dead/{id}")).await;
    assert_eq!(status, 409, "{refused}");
    let (_, shown) = asking.get(&format!("/api/callbacks/{id}")).await;
    assert_eq!(shown["generation"], 1);
    assert_eq!(
        asking.get(&format!("/api/callbacks/{stranger}")).await.0,
        404
    );
    drop(asking);
    ground.end().await;
}

#[tokio::test]
async fn what_is_discarded_is_out_of_sight() {
    let ground = Ground::new().await;
    let asking = ground.open(None, true);
    for _ in 0..5 {
        ground.give_up("demo", "exhausted").await;
    }
    let kept = ground.give_up("demo", "rejected").await.request_id;
    let wish = signed(json!({"filter": {"reason": "exhausted"}, "limit": 4}));
    let (_, done) = asking.post("/api/dead/discard", wish.clone()).await;
    assert_eq!(
        (&done["discarded"], &done["more"]),
        (&json!(4), &json!(true))
    );
    let (_, done) = asking.post("/api/dead/discard", wish).await;
    assert_eq!(
        (&done["discarded"], &done["more"]),
        (&json!(1), &json!(false))
    );
    let (_, left) = asking.get("/api/dead").await;
    assert_eq!(left["callbacks"].as_array().unwrap().len(), 1);
    assert_eq!(left["callbacks"][0]["request_id"], json!(kept));
    drop(asking);
    ground.end().await;
}

#[tokio::test]
async fn pages_follow_one_another_newest_first_over_both_kinds_of_dead() {
    let ground = Ground::new().await;
    let asking = ground.open(None, true);
    let mut all = Vec::new();
    for place in 0..23 {
        let message = letter("demo");
        let state = if place % 3 == 0 {
            State::Expired
        } else {
            dead("exhausted")
        };
        ground
            .journal
            .record(&[record(&message, state)])
            .await
            .unwrap();
        all.push(message.request_id.to_string());
    }
    all.reverse();
    for base in ["/api/dead?limit=5", "/api/callbacks?app_id=demo&limit=5"] {
        let (mut found, mut path) = (Vec::new(), base.to_owned());
        loop {
            let (status, page) = asking.get(&path).await;
            assert_eq!(status, 200, "{page}");
            let callbacks = page["callbacks"].as_array().unwrap();
            assert!((1..=5).contains(&callbacks.len()));
            let ids = callbacks.iter().filter_map(|it| it["request_id"].as_str());
            found.extend(ids.map(str::to_owned));
            let Some(cursor) = page["cursor"].as_str() else {
                break;
            };
            path = format!("{base}&cursor={cursor}");
        }
        assert_eq!(found, all, "{base}");
    }
    let (_, expired) = asking.get("/api/dead?status=expired").await;
    assert_eq!(expired["callbacks"].as_array().unwrap().len(), 8);
    drop(asking);
    ground.end().await;
}

#[tokio::test]
async fn what_is_not_understood_or_not_allowed_is_refused() {
    let ground = Ground::new().await;
    let asking = ground.open(Some("secret"), true);
    assert_eq!(asking.get("/api/dead").await.0, 401);
    assert_eq!(asking.get("/nothing").await.0, 401);
    drop(asking);

    let asking = ground.open(None, true);
    for path in [
        "/api/callbacks?app=x",
        "/api/dead?status=queued",
        "/api/dead?limit=2000",
        "/api/callbacks/7",
        "/api/audit?since=1",
    ] {
        let (status, said) = asking.get(path).await;
        assert_eq!(status, 400, "{path}");
        assert!(said["error"].is_string(), "{path}");
    }
    let unsigned = json!({"filter": {}});
    assert_eq!(asking.post("/api/dead/replay", unsigned).await.0, 400);
    assert_eq!(asking.get("/api/dead/replay").await.0, 400, "no such id");
    let request = asking
        .client
        .post(format!("{}/api/dead/sweep", asking.base));
    assert_eq!(request.send().await.unwrap().status().as_u16(), 415);
    let request = asking.client.get(format!("{}/api/dead", asking.base));
    let foreign = request.header("host", "evil.example");
    assert_eq!(foreign.send().await.unwrap().status().as_u16(), 403);
    drop(asking);

    let asking = ground.open(None, false);
    let (status, said) = asking.get("/api/dead").await;
    assert_eq!(status, 501);
    assert!(
        said["error"].as_str().unwrap().contains("journal.url"),
        "{said}"
    );
    drop(asking);
    ground.end().await;
}

#[tokio::test]
async fn a_waiting_callback_is_withdrawn_and_the_log_tells_by_whom() {
    let ground = Ground::new().await;
    let asking = ground.open(None, true);
    let message = letter("demo");
    let next_attempt_at = moment::now() + 60_000;
    let waits = record(&message, State::Retrying { next_attempt_at });
    ground.journal.record(&[waits]).await.unwrap();
    let path = format!("/api/callbacks/{}/cancel", message.request_id);
    let (status, said) = asking.post(&path, signed(json!({}))).await;
    assert_eq!((status, &said["cancelled"]), (200, &json!("certainly")));
    let found = ground
        .journal
        .find(message.request_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.status, Status::Cancelled);
    let (_, log) = asking.get("/api/audit?limit=1").await;
    assert_eq!(log["entries"][0]["action"], "cancel");
    drop(asking);
    ground.end().await;
}

#[test]
fn a_listener_that_others_can_reach_needs_a_token() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let ground = Ground::new().await;
        let settings = AdminSettings {
            listen: SocketAddr::from(([0, 0, 0, 0], 0)),
            token: None,
            ..AdminSettings::default()
        };
        let tools = Tools {
            broker: ground.broker.clone(),
            journal: None,
            parties: Live::new(Parties::new([]).unwrap()),
            retention: Duration::from_secs(1),
            pauses: Pauses::default(),
            targets: Targets::default(),
        };
        let refused = serve(&settings, tools, CancellationToken::new());
        let sentence = refused.err().unwrap().to_string();
        assert!(sentence.contains("admin.token"), "{sentence}");
        ground.end().await;
    });
}
