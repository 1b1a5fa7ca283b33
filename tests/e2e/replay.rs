//! Can an operator list what was given up, and have it delivered after all?

use serde_json::{Value, json};
use tests::{World, together};

use crate::query::status;
use crate::shared::journaled;

/// A callback of this app that the target refuses twice, given up after the second attempt.
async fn dead(world: &World, app_id: &str) -> String {
    let mut callback = world.callback("/flaky/2");
    callback["app_id"] = json!(app_id);
    callback["options"] = json!({"max_attempts": 2, "expire_seconds": 3600});
    let id = world.send(&callback).await;
    let body = status(world, &id, "dead").await;
    assert_eq!(body["reason"], "exhausted");
    id
}

async fn delivered_again(world: &World, id: &str) {
    status(world, id, "delivered").await;
    let received = world.received(id, 3).await;
    assert_eq!(received.len(), 3);
    for one in &received {
        assert_eq!(one.body.as_bytes(), br#"{"field1":1}"#);
    }
    assert_eq!(received[2].attempt, Some(1), "it begins anew");
    let path = format!("/api/callbacks/{id}");
    let shown = world.gateway.operators(&path, None).await;
    assert_eq!(
        (&shown["status"], &shown["generation"]),
        (&"delivered".into(), &1.into())
    );
    let attempts = shown["attempts"].as_array().unwrap();
    let each = |it: &Value| {
        (
            it["generation"].as_u64().unwrap(),
            it["number"].as_u64().unwrap(),
        )
    };
    let attempts: Vec<_> = attempts.iter().map(each).collect();
    assert_eq!(attempts, [(0, 1), (0, 2), (1, 1)]);
}

#[test]
fn a_dead_callback_is_listed_replayed_and_delivered_under_its_own_id() {
    together(async {
        let world = journaled().await;
        let id = dead(&world, "replayed").await;
        let list = "/api/dead?app_id=replayed";
        let listed = world.gateway.operators(list, None).await;
        let ids = |listed: &Value| {
            let all = listed["callbacks"].as_array().unwrap().clone();
            all.into_iter()
                .map(|it| it["request_id"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&listed), [json!(id)]);
        let wish = json!({"ids": [id], "who": "ops@example", "reason": "the target is back"});
        let done = world
            .gateway
            .operators("/api/dead/replay", Some(&wish))
            .await;
        assert_eq!(done["replayed"], 1, "{done}");
        delivered_again(&world, &id).await;
        assert_eq!(ids(&world.gateway.operators(list, None).await), [""; 0]);
        let again = world
            .gateway
            .operators("/api/dead/replay", Some(&wish))
            .await;
        assert_eq!(
            (&again["replayed"], &again["not_dead"]),
            (&0.into(), &json!([id]))
        );
        let audit = world.gateway.operators("/api/audit", None).await;
        let entries = audit["entries"].as_array().unwrap();
        let mut signed = entries.iter().filter(|it| it["subject"] == json!(id));
        let signed = signed.find(|it| it["count"] == 1).unwrap();
        assert_eq!(
            (&signed["who"], &signed["action"]),
            (&"ops@example".into(), &"replay".into())
        );
    });
}
