//! Cancelling a callback: in time, too late, and during an attempt.

use std::time::Duration;

use serde_json::json;
use tests::on_shared_runtime;

use crate::accept::query::{attempts, status};
use crate::fixtures::journaled;

#[test]
fn a_cancelled_delayed_callback_is_never_delivered() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let mut callback = fixture.callback("/ok/cancelled");
        // A callback that is due within 2 s may be in flight already and cannot be cancelled for
        // certain.
        callback["options"] = json!({"delay_seconds": 15});
        let cancelled_id = fixture.send(&callback).await;
        let later = fixture.send(&callback).await;
        for time in ["first", "second"] {
            let answered = fixture.gateway.cancel(&cancelled_id).await;
            let body = answered.json();
            assert_eq!(answered.status, 200, "{time}: {body}");
            assert_eq!(body["status"], "cancelled", "{time}: {body}");
            assert_eq!(body["code"], "500500", "{time}: {body}");
            assert!(body.get("next_attempt_at").is_none(), "{body}");
        }
        // The callback that is due later proves that the cancelled one is not delivered.
        fixture.received(&later, 1).await;
        let past = fixture.send(&fixture.callback("/slow/1000")).await;
        fixture.received(&past, 1).await;
        status(&fixture, &past, "delivered").await;
        assert_eq!(fixture.callee.requests.for_id(&cancelled_id).len(), 0);
        let body = status(&fixture, &cancelled_id, "cancelled").await;
        assert_eq!(attempts(&body), []);
    });
}

#[test]
fn a_callback_between_two_attempts_can_be_cancelled() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let id = fixture.send(&fixture.callback("/status/503")).await;
        fixture.received(&id, 2).await;
        tests::eventually("a certain end", Duration::from_secs(30), async || {
            let answered = fixture.gateway.cancel(&id).await;
            let body = answered.json();
            // Until the second attempt is recorded, it may be in flight.
            match answered.status {
                200 if body["status"] == "cancelled" => Ok(()),
                202 | 503 => Err(body.to_string()),
                other => panic!("{other}: {body}"),
            }
        })
        .await;
        let body = status(&fixture, &id, "cancelled").await;
        let failed = |number| (number, "answered_5xx", Some(503));
        assert_eq!(attempts(&body), [failed(1), failed(2)]);
    });
}

#[test]
fn cancelling_too_late_reports_the_final_status() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        for (path, ended, code) in [
            ("/ok", "delivered", "000"),
            ("/status/400", "dead", "500500"),
        ] {
            let id = fixture.send(&fixture.callback(path)).await;
            status(&fixture, &id, ended).await;
            let answered = fixture.gateway.cancel(&id).await;
            let body = answered.json();
            assert_eq!(answered.status, 200, "{body}");
            assert_eq!(
                (&body["status"], &body["code"]),
                (&ended.into(), &code.into())
            );
            status(&fixture, &id, ended).await;
        }
    });
}

#[test]
fn cancelling_during_an_attempt_is_accepted_and_a_delivery_wins() {
    on_shared_runtime(async {
        let fixture = journaled().await;
        let mut callback = fixture.callback("/slow/14000");
        callback["options"] = json!({"timeout_seconds": 60});
        let id = fixture.send(&callback).await;
        fixture.received(&id, 1).await;
        tests::eventually(
            "the cancellation to be recorded",
            Duration::from_secs(12),
            async || {
                let answered = fixture.gateway.cancel(&id).await;
                // A 503 means that it is not recorded yet.
                match answered.status {
                    202 => Ok(()),
                    503 => Err("503".to_owned()),
                    other => panic!("{other}: {}", answered.json()),
                }
            },
        )
        .await;
        let body = status(&fixture, &id, "delivered").await;
        assert_eq!(attempts(&body).len(), 1);
    });
}
