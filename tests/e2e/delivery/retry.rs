//! Failed attempts are repeated, as often as configured and never too early.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::ports::free_port;
use tests::targets::scripts;
use tests::{Callee, GatewayRole, TestTarget, callback, eventually, on_shared_runtime};

use crate::fixtures::{message, own, shared};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_target_that_fails_twice_gets_the_callback_at_the_third_attempt() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let id = fixture.send(&fixture.callback("/flaky/2")).await;
        let received = fixture.received(&id, 3).await;
        let statuses: Vec<_> = received.iter().map(|one| one.status).collect();
        assert_eq!(statuses, [Some(503), Some(503), Some(200)]);
        let attempts: Vec<_> = received.iter().map(|one| one.attempt).collect();
        assert_eq!(attempts, [Some(1), Some(2), Some(3)]);
        for one in &received {
            assert_eq!(one.headers["webhook-id"], id);
            assert_eq!(one.body, received[0].body);
        }
        // The schedule is 1 s, 2 s; each wait starts when the attempt before has ended.
        let waits: Vec<u64> = received
            .windows(2)
            .map(|pair| pair[1].time_ms - pair[0].time_ms)
            .collect();
        assert!(waits[0] >= 1_000 && waits[1] >= 2_000, "{waits:?}");
    });
}

#[test]
fn a_retry_never_comes_before_the_target_asked_for_it() {
    on_shared_runtime(async {
        let fixture = shared().await;
        // A callee of its own: the gateway holds back all callbacks to it meanwhile.
        let callee = Callee::start().await;
        let id = fixture.send(&callback(&callee.url("/retry-after/4"))).await;
        let received = eventually("both attempts", SOON, async || {
            let received = callee.requests.for_id(&id);
            (received.len() >= 2).then_some(received)
        })
        .await;
        let waited = received[1].time_ms - received[0].time_ms;
        // By the schedule alone it would be back after 1.2 s at most.
        assert!(waited >= 4_000, "{waited} ms");
        assert_eq!(received[1].status, Some(200));
    });
}

#[test]
fn a_target_that_breaks_is_tried_again() {
    on_shared_runtime(async {
        let fixture = shared().await;
        let reset = TestTarget::raw(scripts::reset_before_head());
        let garbage = TestTarget::raw(scripts::garbage());
        let huge = TestTarget::raw(scripts::huge_headers());
        let drip = TestTarget::raw(scripts::slow_answer());
        let cases = [
            (
                format!("http://127.0.0.1:{}/", free_port()),
                "connection_refused",
            ),
            (reset.url(), "connection_reset"),
            (fixture.callee.url("/reset"), "connection_reset"),
            (garbage.url(), "malformed_answer"),
            (huge.url(), "malformed_answer"),
            (drip.url(), "timeout"),
            (fixture.callee.url("/hang"), "timeout"),
            (fixture.callee.url("/status/500"), "answered_5xx"),
            (fixture.callee.url("/status/429"), "answered_4xx"),
            (fixture.callee.url("/status/404"), "answered_4xx"),
            // No final answer follows the interim one.
            (fixture.callee.url("/status/100"), "connection_reset"),
        ];
        join_all(cases.map(async |(url, outcome)| {
            let mut callback = callback(&url);
            // Short where it is waited for, long where a starved machine must not end the attempt.
            let seconds = if outcome == "timeout" { 3 } else { 15 };
            callback["options"] = json!({"max_attempts": 2, "timeout_seconds": seconds});
            let id = fixture.send(&callback).await;
            let letter = fixture.dead_letter(&id).await;
            assert_eq!(letter.outcomes(), [outcome; 2], "{url}");
            assert_eq!(letter.reason(), "exhausted", "{url}");
            let [first, second] = &letter.message.history[..] else {
                panic!("{:?}", letter.message.history)
            };
            let first_ended = first.started_at + first.duration_ms;
            assert!(
                second.started_at >= first_ended + 1_000,
                "{first:?} {second:?}"
            );
        }))
        .await;
        for target in [&reset, &garbage, &huge, &drip] {
            // The dispatcher may have given up before the target has read the request.
            eventually("each attempt once", SOON, async || {
                let each_once = target.request_count() == 2;
                each_once.then_some(()).ok_or(format!("{target:?}"))
            })
            .await;
        }
    });
}

#[test]
fn a_refused_target_gets_its_callback_once_it_listens() {
    on_shared_runtime(async {
        // A gateway of its own: in the shared one others are refused as well.
        let fixture = own().await;
        let port = free_port();
        let mut refused = callback(&format!("http://127.0.0.1:{port}/ok"));
        // Enough attempts to continue until the target listens.
        refused["options"] = json!({"max_attempts": 10});
        let id = fixture.send(&refused).await;
        let series = "ringback_attempts_total{outcome=\"connection_refused\",queue=\"first\"}";
        eventually("the refused attempt", SOON, async || {
            (fixture.metric(GatewayRole::Dispatcher(0), series).await == 1).then_some(())
        })
        .await;
        let callee = Callee::start_at(([127, 0, 0, 1], port).into());
        let received = eventually("the callback", SOON, async || {
            callee.requests.for_id(&id).first().cloned()
        })
        .await;
        assert!(received.attempt >= Some(2), "{received:?}");
    });
}

/// Sends a callback that always fails, with these options. Returns the reason for which it was
/// dead-lettered, and the number of attempts.
async fn given_up(options: Value) -> (String, usize) {
    let fixture = shared().await;
    let mut callback = fixture.callback("/status/503");
    callback["options"] = options;
    let id = fixture.send(&callback).await;
    let letter = fixture.dead_letter(&id).await;
    let attempts = letter.message.history.len();
    assert_eq!(fixture.callee.requests.for_id(&id).len(), attempts);
    (letter.reason(), attempts)
}

#[test]
fn the_caller_limits_the_number_of_attempts_and_the_time() {
    on_shared_runtime(async {
        let cases = [
            (json!({"max_attempts": 1}), "exhausted", 1..=1),
            (json!({"max_attempts": 2}), "exhausted", 2..=2),
            // More than the schedule has: its last wait is repeated.
            (json!({"max_attempts": 4}), "exhausted", 4..=4),
            // The first retry, after at least 1 s, would be too late, and the first attempt may be.
            (json!({"expire_seconds": 1}), "expired", 0..=1),
            // The ninth attempt, after 1 s and seven times 2 s at least, would be too late.
            (
                json!({"expire_seconds": 15, "max_attempts": 20}),
                "expired",
                1..=8,
            ),
        ];
        join_all(cases.map(async |(options, reason, attempts)| {
            let found = given_up(options.clone()).await;
            assert_eq!(found.0, reason, "{options}");
            assert!(
                attempts.contains(&found.1),
                "{options}: {} attempts",
                found.1
            );
        }))
        .await;
    });
}

#[test]
fn a_callback_that_expired_in_the_queue_is_never_called() {
    on_shared_runtime(async {
        let mut fixture = own().await;
        let mut message = message(&fixture.callee.url("/ok"));
        message.options.expire_seconds = Some(5);
        message.accepted_at -= 6_000;
        let id = message.request_id.to_string();
        let bytes = message.encode().to_vec();
        fixture.gateway.insert_messages("first", &[bytes]).await;
        let letter = fixture.dead_letter(&id).await;
        assert_eq!(
            (letter.reason(), letter.message.history.len()),
            ("expired".to_owned(), 0)
        );
        assert_eq!(fixture.callee.requests.for_id(&id).len(), 0);
    });
}
