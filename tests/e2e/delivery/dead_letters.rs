//! Dead letters: when a callback is dead-lettered, and what the message contains.

use futures_util::future::join_all;
use tests::{TestTarget, on_shared_runtime};

use crate::fixtures::shared;

#[test]
fn a_dead_letter_holds_the_message_the_reason_and_every_attempt() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let mut callback = fixture.callback("/status/503");
        callback["callee_no"] = serde_json::json!("EO005");
        let id = fixture.send(&callback).await;
        let letter = fixture.dead_letter(&id).await;

        assert_eq!(letter.reason(), "exhausted");
        let header = |name| letter.taken.header(name).unwrap_or_default();
        let history = header("ringback-history");
        let entries: Vec<&str> = history.split("; ").collect();
        assert_eq!(entries.len(), 3, "{history}");
        for (number, entry) in (1..).zip(&entries) {
            let begin = format!("{number}: answered_5xx 503 in ");
            assert!(
                entry.starts_with(&begin) && entry.ends_with(" ms"),
                "{history}"
            );
        }
        assert_eq!(header("ringback-app-id"), "5SV4BVSY0OXQ3ZSA");
        assert_eq!(header("ringback-message-type"), "order.paid");
        assert_eq!(header("ringback-callee-no"), "EO005");
        assert_eq!(header("ringback-attempt"), "3");
        assert_eq!(letter.taken.id, id);
        assert!(letter.taken.persistent);

        assert_eq!(letter.message.request_message, r#"{"field1":1}"#);
        assert_eq!(letter.outcomes(), ["answered_5xx"; 3]);
        let received = fixture.callee.requests.for_id(&id);
        assert_eq!(received.len(), 3);
        for (attempt, seen) in letter.message.history.iter().zip(&received) {
            assert_eq!(attempt.http_status, Some(503));
            assert_eq!(Some(attempt.number), seen.attempt);
            assert!(attempt.started_at <= seen.time_ms, "{attempt:?} {seen:?}");
        }
    });
}

#[test]
fn a_rejected_request_is_dead_lettered_at_once() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let statuses = [400, 405, 406, 410, 411, 413, 414, 415, 422, 431];
        join_all(statuses.map(async |status| {
            let id = fixture
                .send(&fixture.callback(&format!("/status/{status}")))
                .await;
            let letter = fixture.dead_letter(&id).await;
            assert_eq!(letter.reason(), "rejected", "{status}");
            assert_eq!(letter.outcomes(), ["answered_4xx"], "{status}");
            assert_eq!(letter.message.history[0].http_status, Some(status));
            assert_eq!(fixture.callee.requests.for_id(&id).len(), 1, "{status}");
        }))
        .await;
    });
}

#[test]
fn a_redirect_is_dead_lettered_at_once_and_not_followed() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let forbidden = TestTarget::silent();
        let elsewhere = format!("/redirect?to=http%3A%2F%2F{}%2Fok", forbidden.address());
        for path in [&elsewhere, "/redirect/ok", "/status/301", "/status/304"] {
            let id = fixture.send(&fixture.callback(path)).await;
            let letter = fixture.dead_letter(&id).await;
            assert_eq!(letter.reason(), "redirected", "{path}");
            assert_eq!(letter.outcomes(), ["answered_3xx"], "{path}");
            let received = fixture.callee.requests.for_id(&id);
            let paths: Vec<&str> = received.iter().map(|one| &*one.path).collect();
            assert_eq!(paths, [path], "the callee itself is not asked again either");
        }
        assert_eq!(forbidden.contacts(), (0, 0));
    });
}
