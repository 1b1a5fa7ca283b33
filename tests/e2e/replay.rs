//! Can an operator list what was given up, and have it delivered after all?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tests::{GatewayOptions, Kind, World, eventually, together};

use crate::query::status;
use crate::shared::journaled;

const SOON: Duration = Duration::from_secs(20);
/// What a killed process had taken is finished by another one within a minute.
const IN_TIME: Duration = Duration::from_secs(120);

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

/// So many replays are asked for at the same time.
const AT_ONCE: usize = 8;

#[test]
fn a_replay_that_is_killed_in_the_middle_loses_nothing() {
    together(async {
        const COUNT: usize = 40;
        let mut world = World::start(|_| GatewayOptions {
            schedule: "1s,60s".to_owned(),
            journal: true,
            dispatchers: 2,
            ..GatewayOptions::default()
        })
        .await;
        let mut callback = world.callback("/flaky/2");
        callback["options"] = json!({"max_attempts": 2, "expire_seconds": 3600});
        let mut ids = Vec::new();
        for _ in 0..COUNT {
            ids.push(world.send(&callback).await);
        }
        for id in &ids {
            status(&world, id, "dead").await;
        }

        let url = format!("{}/api/dead/replay", world.gateway.operators_url());
        let asked = Arc::new(AtomicUsize::new(0));
        let replaying = tokio::spawn({
            let (ids, asked, client) = (ids.clone(), asked.clone(), reqwest::Client::new());
            let ask = move |id: String| {
                let (client, url, asked) = (client.clone(), url.clone(), asked.clone());
                async move {
                    let wish = json!({"ids": [id], "who": "ops@example", "reason": "killed"});
                    let request = client.post(url).body(wish.to_string());
                    let request = request.header("content-type", "application/json");
                    // Many of them meet a process that is gone.
                    if request.send().await.is_ok_and(|it| it.status() == 200) {
                        asked.fetch_add(1, Ordering::Relaxed);
                    }
                }
            };
            let all = futures_util::stream::iter(ids).map(ask);
            async move { all.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await }
        });
        eventually("some of them replayed", SOON, async || {
            (asked.load(Ordering::Relaxed) >= COUNT / 4).then_some(())
        })
        .await;
        world.gateway.doors_out()[0].process.kill9();
        replaying.await.unwrap();
        let done = asked.load(Ordering::Relaxed);
        assert!(done < COUNT, "it was over before the kill");
        match Kind::chosen() {
            Kind::RabbitMq => drop(world.gateway.dispatchers.remove(0)),
            Kind::Embedded => world.gateway.restart_ingress().await,
        }

        // What was taken is finished by itself; the others are dead letters as before.
        for id in &ids {
            let ended = eventually("a replay that has ended", IN_TIME, async || {
                let answered = world.gateway.query(id).await;
                let status = answered.json()["status"].clone();
                let ended = ["delivered", "dead"].iter().any(|it| status == *it);
                ended.then_some(status.clone()).ok_or(status.to_string())
            })
            .await;
            if ended == "dead" {
                let wish = json!({"ids": [id], "who": "ops@example", "reason": "once more"});
                let path = "/api/dead/replay";
                world.gateway.operators(path, Some(&wish)).await;
            }
        }
        for id in &ids {
            status(&world, id, "delivered").await;
            let received = world.received(id, 3).await;
            let path = format!("/api/callbacks/{id}");
            let shown = world.gateway.operators(&path, None).await;
            assert_eq!(shown["generation"], 1, "{id} was replayed once");
            for one in &received {
                assert_eq!(one.body.as_bytes(), br#"{"field1":1}"#);
            }
        }
        let left = world.gateway.operators("/api/dead", None).await;
        assert_eq!(left["callbacks"], json!([]));
    });
}
