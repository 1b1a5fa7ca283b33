//! Replaying dead letters by the operators' API.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tests::{BrokerKind, GatewayOptions, SharedGateway, eventually, on_shared_runtime};

use crate::accept::query::status;
use crate::fixtures::journaled;

const SOON: Duration = Duration::from_secs(20);
/// What a killed process has claimed is finished by another one within a minute.
const IN_TIME: Duration = Duration::from_secs(120);

/// A callback of this app that fails twice and is then dead-lettered.
async fn dead(fixture: &SharedGateway, app_id: &str) -> String {
    let mut callback = fixture.callback("/flaky/2");
    callback["app_id"] = json!(app_id);
    callback["options"] = json!({"max_attempts": 2, "expire_seconds": 3600});
    let id = fixture.send(&callback).await;
    let body = status(fixture, &id, "dead").await;
    assert_eq!(body["reason"], "exhausted");
    id
}

async fn delivered_again(fixture: &SharedGateway, id: &str) {
    status(fixture, id, "delivered").await;
    let received = fixture.received(id, 3).await;
    assert_eq!(received.len(), 3);
    for one in &received {
        assert_eq!(one.body.as_bytes(), br#"{"field1":1}"#);
    }
    assert_eq!(received[2].attempt, Some(1), "it begins anew");
    let path = format!("/admin/v1/callbacks/{id}");
    let shown = fixture.gateway.admin(&path, None).await;
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
    on_shared_runtime(async {
        let fixture = journaled().await;
        let id = dead(&fixture, "replayed").await;
        let list = "/admin/v1/dead-letters?app_id=replayed";
        let listed = fixture.gateway.admin(list, None).await;
        let ids = |listed: &Value| {
            let all = listed["items"].as_array().unwrap().clone();
            all.into_iter()
                .map(|it| it["request_id"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ids(&listed), [json!(id)]);
        let request = json!({"ids": [id], "actor": "ops@example", "reason": "the target is back"});
        let done = fixture
            .gateway
            .admin("/admin/v1/dead-letters/replay", Some(&request))
            .await;
        assert_eq!(done["replayed"], 1, "{done}");
        delivered_again(&fixture, &id).await;
        assert_eq!(ids(&fixture.gateway.admin(list, None).await), [""; 0]);
        let again = fixture
            .gateway
            .admin("/admin/v1/dead-letters/replay", Some(&request))
            .await;
        assert_eq!(
            (&again["replayed"], &again["not_dead_letters"]),
            (&0.into(), &json!([id]))
        );
        let audit = fixture.gateway.admin("/admin/v1/audit", None).await;
        let entries = audit["items"].as_array().unwrap();
        let mut signed = entries.iter().filter(|it| it["subject"] == json!(id));
        let signed = signed.find(|it| it["count"] == 1).unwrap();
        assert_eq!(
            (&signed["actor"], &signed["action"]),
            (&"ops@example".into(), &"replay".into())
        );
    });
}

/// Concurrent requests for a replay.
const AT_ONCE: usize = 8;

#[test]
fn a_replay_that_is_interrupted_by_a_kill_loses_nothing() {
    on_shared_runtime(async {
        const COUNT: usize = 40;
        let mut fixture = SharedGateway::start(|_| GatewayOptions {
            schedule: "1s,60s".to_owned(),
            journal: true,
            dispatchers: 2,
            ..GatewayOptions::default()
        })
        .await;
        let mut callback = fixture.callback("/flaky/2");
        callback["options"] = json!({"max_attempts": 2, "expire_seconds": 3600});
        let mut ids = Vec::new();
        for _ in 0..COUNT {
            ids.push(fixture.send(&callback).await);
        }
        for id in &ids {
            status(&fixture, id, "dead").await;
        }

        let url = format!(
            "{}/admin/v1/dead-letters/replay",
            fixture.gateway.admin_url()
        );
        let asked = Arc::new(AtomicUsize::new(0));
        let replaying = tokio::spawn({
            let (ids, asked, client) = (ids.clone(), asked.clone(), reqwest::Client::new());
            let ask = move |id: String| {
                let (client, url, asked) = (client.clone(), url.clone(), asked.clone());
                async move {
                    let body = json!({"ids": [id], "actor": "ops@example", "reason": "killed"});
                    let request = client.post(url).body(body.to_string());
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
        fixture.gateway.dispatching_instances()[0].process.kill9();
        replaying.await.unwrap();
        let done = asked.load(Ordering::Relaxed);
        assert!(done < COUNT, "it was over before the kill");
        match BrokerKind::chosen() {
            BrokerKind::RabbitMq => drop(fixture.gateway.dispatchers.remove(0)),
            BrokerKind::Embedded => fixture.gateway.restart_ingress().await,
        }

        // Claimed replays are finished without help; the others are dead letters as before.
        for id in &ids {
            let ended = eventually("a replay that has ended", IN_TIME, async || {
                let answered = fixture.gateway.query(id).await;
                let status = answered.json()["status"].clone();
                let ended = ["delivered", "dead"].iter().any(|it| status == *it);
                ended.then_some(status.clone()).ok_or(status.to_string())
            })
            .await;
            if ended == "dead" {
                let request = json!({"ids": [id], "actor": "ops@example", "reason": "once more"});
                let path = "/admin/v1/dead-letters/replay";
                fixture.gateway.admin(path, Some(&request)).await;
            }
        }
        for id in &ids {
            status(&fixture, id, "delivered").await;
            let received = fixture.received(id, 3).await;
            let path = format!("/admin/v1/callbacks/{id}");
            let shown = fixture.gateway.admin(&path, None).await;
            assert_eq!(shown["generation"], 1, "{id} was replayed once");
            for one in &received {
                assert_eq!(one.body.as_bytes(), br#"{"field1":1}"#);
            }
        }
        let left = fixture.gateway.admin("/admin/v1/dead-letters", None).await;
        assert_eq!(left["items"], json!([]));
    });
}
