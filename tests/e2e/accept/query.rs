//! Querying a callback: every status, every attempt, and never a false 404.

use std::time::Duration;

use serde_json::{Value, json};
use tests::BrokerKind;
use tests::{SharedGateway, eventually, on_shared_runtime};
use uuid::Uuid;

use crate::fixtures::{journaled, unix_ms};

const SOON: Duration = Duration::from_secs(30);

/// The answer to a query, as soon as it has this status.
pub(crate) async fn status(fixture: &SharedGateway, id: &str, status: &str) -> Value {
    eventually(&format!("{id} to be {status}"), SOON, async || {
        let answered = fixture.gateway.query(id).await;
        let body = answered.json();
        if answered.status == 200 && body["status"] == status {
            Ok(body)
        } else {
            Err(format!("{}: {body}", answered.status))
        }
    })
    .await
}

/// The attempts in an answer: number, outcome and HTTP status of each.
pub(crate) fn attempts(body: &Value) -> Vec<(u64, &str, Option<u64>)> {
    let attempts = body["attempts"].as_array().unwrap().iter();
    let one = |it: &Value| it["number"].as_u64().unwrap();
    attempts
        .map(|it| {
            let outcome = it["outcome"].as_str().unwrap();
            (one(it), outcome, it["http_status"].as_u64())
        })
        .collect()
}

#[test]
fn a_delayed_callback_is_queued_until_its_time() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let mut callback = fixture.callback("/ok");
        callback["options"] = json!({"delay_seconds": 600});
        callback["callee_no"] = json!("EO005");
        let id = fixture.send(&callback).await;
        // It was durable before it was accepted.
        let answered = fixture.gateway.query(&id).await;
        let body = answered.json();
        assert_eq!(answered.status, 200, "{body}");
        assert_eq!(
            (&body["status"], &body["code"]),
            (&"queued".into(), &"202".into())
        );
        assert_eq!(body["request_id"], id);
        assert_eq!(body["app_id"], "5SV4BVSY0OXQ3ZSA");
        assert_eq!(body["callee_no"], "EO005");
        assert_eq!(body["callback_url"], callback["callback_url"]);
        assert_eq!(body["attempts"], json!([]));
        assert!(body["next_attempt_at"].is_string(), "{body}");
        assert!(body.get("reason").is_none(), "{body}");
    });
}

#[test]
fn a_failed_callback_is_retrying_and_shows_every_attempt() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let id = fixture.send(&fixture.callback("/status/503")).await;
        fixture.received(&id, 2).await;
        let body = eventually("both attempts", SOON, async || {
            let body = status(&fixture, &id, "retrying").await;
            let both = attempts(&body).len() == 2;
            both.then_some(body.clone()).ok_or_else(|| body.to_string())
        })
        .await;
        let failed = |number| (number, "answered_5xx", Some(503));
        assert_eq!(attempts(&body), [failed(1), failed(2)]);
        assert_eq!(body["code"], "202");
        assert!(body["next_attempt_at"].is_string(), "{body}");
    });
}

#[test]
fn a_delivered_callback_shows_its_attempts_in_order() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let id = fixture.send(&fixture.callback("/flaky/1")).await;
        let body = status(&fixture, &id, "delivered").await;
        let expected = [(1, "answered_5xx", Some(503)), (2, "delivered", Some(200))];
        assert_eq!(attempts(&body), expected);
        assert_eq!(body["code"], "000");
        assert!(body.get("next_attempt_at").is_none(), "{body}");
        let begun = |place: usize| body["attempts"][place]["started_at"].as_str().unwrap();
        assert!(body["created_at"].as_str().unwrap() <= begun(0), "{body}");
        assert!(begun(0) < begun(1), "{body}");
    });
}

#[test]
fn a_dead_callback_has_a_reason() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let id = fixture.send(&fixture.callback("/status/410")).await;
        let body = status(&fixture, &id, "dead").await;
        assert_eq!(
            (&body["code"], &body["reason"]),
            (&"500500".into(), &"rejected".into())
        );
        assert_eq!(attempts(&body), [(1, "answered_4xx", Some(410))]);
        let mut twice = fixture.callback("/status/503");
        twice["options"] = json!({"max_attempts": 2});
        let id = fixture.send(&twice).await;
        let body = status(&fixture, &id, "dead").await;
        assert_eq!(body["reason"], "exhausted");
        assert_eq!(attempts(&body).len(), 2);
        assert!(body.get("next_attempt_at").is_none(), "{body}");
    });
}

#[test]
fn a_callback_past_its_expiry_is_expired() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let mut callback = fixture.callback("/status/503");
        // The second attempt comes after about a second, and the third would come after a minute.
        callback["options"] = json!({"expire_seconds": 20});
        let id = fixture.send(&callback).await;
        let body = status(&fixture, &id, "expired").await;
        assert_eq!(body["code"], "500500");
        let seen = fixture.callee.requests.for_id(&id).len();
        assert_eq!(attempts(&body).len(), seen, "{body}");
        assert!(seen >= 1, "{body}");
    });
}

#[test]
fn an_unknown_id_is_404_once_no_record_can_be_in_transit() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let hour = Duration::from_hours(1);
        let then = unix_ms() - u64::try_from(hour.as_millis()).unwrap();
        let old = uuid::Builder::from_unix_timestamp_millis(then, &[7; 10]).into_uuid();
        eventually("a 404", SOON, async || {
            let answered = fixture.gateway.query(&old.to_string()).await;
            let body = answered.json();
            // Until then it is a 503, and never anything else.
            match (answered.status, answered.code().as_str()) {
                (404, "404") => Ok(()),
                (503, "500") => Err(format!("503: {body}")),
                other => panic!("{other:?}: {body}"),
            }
        })
        .await;
        let young = Uuid::now_v7().to_string();
        let answered = fixture.gateway.query(&young).await;
        assert_eq!((answered.status, answered.code().as_str()), (503, "500"));
        assert_eq!(answered.request_id(), Some(young));
        let after = answered.headers["retry-after"].to_str().unwrap();
        assert!(after.parse::<u64>().unwrap() >= 1, "{after}");
    });
}

#[test]
fn a_callback_just_accepted_is_never_denied() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        for _ in 0..50 {
            let id = fixture.send(&fixture.callback("/ok")).await;
            let answered = fixture.gateway.query(&id).await;
            assert!(matches!(answered.status, 200 | 503), "{answered:?}");
            assert_eq!(
                answered.request_id(),
                Some(id),
                "{:?}",
                BrokerKind::chosen()
            );
        }
    });
}
