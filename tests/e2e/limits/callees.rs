//! Settings of a registered callee apply to it and to nobody else.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::cleanup::TempDirectory;
use tests::targets::CapturedRequest;
use tests::{
    BrokerUnderTest, Gateway, GatewayOptions, ScriptedReply, TestTarget, callback, eventually,
};

use super::targets::{IN_TIME, all_delivered, breaker_is};

/// A gateway with these callees in its settings file. Others are retried after an hour, and the
/// breaker opens soon and for long.
async fn start(temp: &TempDirectory, callees: &str) -> Gateway<'static> {
    let file = temp.path().join("settings.toml");
    fs::write(&file, callees).unwrap();
    let options = GatewayOptions {
        schedule: "3600s".to_owned(),
        ..GatewayOptions::default()
    };
    let options = options
        .with("RINGBACK_CONFIG", &file.display().to_string())
        .with("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "5")
        .with("RINGBACK__LIMITS__BREAKER_OPEN_DURATION", "60s")
        .with("TEST_EO001_SECRET", "open sesame");
    Gateway::start(BrokerUnderTest::shared().await, options).await
}

fn to_callee(no: &str) -> Value {
    json!({
        "callee_no": no,
        "app_id": "a",
        "message_type": "t",
        "request_message": {},
    })
}

async fn send(gateway: &Gateway<'_>, callback: &Value) -> String {
    gateway.post(callback).await.accepted()
}

async fn arrived(target: &TestTarget, id: &str, count: usize) -> Vec<CapturedRequest> {
    eventually("the attempts", IN_TIME, async || {
        let mut arrived = target.requests();
        arrived.retain(|it| it.id == id);
        let seen = arrived.len();
        (seen >= count).then_some(arrived).ok_or(format!("{seen}"))
    })
    .await
}

#[tokio::test]
async fn a_callees_headers_and_credentials_reach_it_alone() {
    let temp = TempDirectory::new("settings");
    let target = TestTarget::http(ScriptedReply::status(200));
    let url = target.url();
    let settings = format!(
        r#"
        [callees.EO001]
        url = "{url}"
        headers = {{ "x-tenant" = "seven", "x-key" = "env:TEST_EO001_SECRET" }}
        auth = "basic"
        user = "ringback"
        secret = "env:TEST_EO001_SECRET"
        [callees.EO002]
        url = "{url}"
        auth = "bearer"
        secret = "env:TEST_EO001_SECRET"
        "#
    );
    let gateway = start(&temp, &settings).await;
    let basic = send(&gateway, &to_callee("EO001")).await;
    let bearer = send(&gateway, &to_callee("EO002")).await;
    // A caller's URL with the same target, and the callee's number as a label.
    let mut labelled = callback(&url);
    labelled["callee_no"] = json!("EO001");
    let plain = send(&gateway, &labelled).await;

    let basic = &arrived(&target, &basic, 1).await[0].headers;
    assert_eq!(basic["x-tenant"], "seven");
    assert_eq!(basic["x-key"], "open sesame");
    // RFC 7617: base64 of `ringback:open sesame`.
    assert_eq!(basic["authorization"], "Basic cmluZ2JhY2s6b3BlbiBzZXNhbWU=");
    let bearer = &arrived(&target, &bearer, 1).await[0].headers;
    assert_eq!(bearer["authorization"], "Bearer open sesame");
    assert!(!bearer.contains_key("x-key"));
    let plain = &arrived(&target, &plain, 1).await[0].headers;
    for name in ["x-tenant", "x-key", "authorization"] {
        assert!(!plain.contains_key(name), "{name} leaks to a caller's URL");
    }
}

#[tokio::test]
async fn a_success_rule_requires_more_than_a_200() {
    const GOOD: &str = r#"{"code": 0}"#;
    let temp = TempDirectory::new("settings");
    let target = TestTarget::http(ScriptedReply::status(200));
    target.set(ScriptedReply::status(200).body(r#"{"code": "500"}"#));
    let settings = format!(
        r#"
        [callees.EO001]
        url = "{}"
        schedule = ["1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s", "1s"]
        success_pointer = "/code"
        success_values = ["000", "0"]
        retry_on = ["success_rule_unreadable"]
        "#,
        target.url()
    );
    let gateway = start(&temp, &settings).await;
    let id = send(&gateway, &to_callee("EO001")).await;
    arrived(&target, &id, 2).await;
    target.set(ScriptedReply::status(200).body("no JSON at all"));
    arrived(&target, &id, 3).await;
    target.set(ScriptedReply::status(200).body(GOOD));
    eventually("the answer by the rule", IN_TIME, async || {
        let seen = target.requests();
        seen.into_iter()
            .find(|it| it.id == id && it.answer_body == GOOD)
    })
    .await;
    // There is none after that: one more callback that has to arrive proves it.
    let next = send(&gateway, &to_callee("EO001")).await;
    arrived(&target, &next, 1).await;
    eventually("nothing left", IN_TIME, async || {
        let waiting = gateway.depths().await?;
        waiting
            .is_empty()
            .then_some(())
            .ok_or(format!("{waiting:?}"))
    })
    .await;
    let seen = arrived(&target, &id, 4).await;
    let good = seen.iter().position(|it| it.answer_body == GOOD);
    assert_eq!(good, Some(seen.len() - 1), "{seen:?}");
}

#[tokio::test]
async fn a_callees_schedule_and_statuses_are_its_own() {
    let temp = TempDirectory::new("settings");
    let target = TestTarget::http(ScriptedReply::status(400));
    let settings = format!(
        r#"
        [callees.EO001]
        url = "{url}"
        schedule = ["1s", "1s", "1s"]
        retry_on = ["4xx"]
        never_retry = ["503"]
        "#,
        url = target.url()
    );
    let gateway = start(&temp, &settings).await;
    // By default 400 is dead-lettered at once, and the default schedule takes an hour.
    let retried = send(&gateway, &to_callee("EO001")).await;
    let seen = arrived(&target, &retried, 3).await;
    assert_eq!(
        seen.iter().map(|it| it.attempt).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    target.set(ScriptedReply::status(200));
    all_delivered(&target, &BTreeSet::from([retried])).await;
    // By default 503 is retried.
    target.set(ScriptedReply::status(503));
    let dead = send(&gateway, &to_callee("EO001")).await;
    let letter = eventually("the dead letter", IN_TIME, async || {
        gateway.take_dead_letter().await
    })
    .await;
    let letter = contract::Message::decode(&letter.body).unwrap();
    assert_eq!(letter.request_id.to_string(), dead);
    assert_eq!(letter.history.len(), 1);
}

#[tokio::test]
async fn a_callers_failing_url_does_not_open_a_callees_breaker_at_the_same_host() {
    let temp = TempDirectory::new("settings");
    let target = TestTarget::http(ScriptedReply::status(500));
    let settings = format!("[callees.EO001]\nurl = \"{}\"\n", target.url());
    let gateway = start(&temp, &settings).await;
    super::targets::send(&gateway, &target.url(), 10).await;
    breaker_is(&gateway, &target, 2).await;
    target.set(ScriptedReply::status(200));
    let id = send(&gateway, &to_callee("EO001")).await;
    // Within the 60 s for which the other breaker is open.
    let seen = arrived(&target, &id, 1).await;
    assert_eq!((seen[0].attempt, seen[0].status), (1, Some(200)));
}

#[tokio::test]
async fn a_callees_cap_and_breaker_are_its_own() {
    let temp = TempDirectory::new("settings");
    let slow = TestTarget::http(ScriptedReply::status(200).after(Duration::from_secs(1)));
    let failing = TestTarget::http(ScriptedReply::status(500));
    let settings = format!(
        "[callees.EO001]\nurl = \"{}\"\nin_flight = 2\n\
         [callees.EO002]\nurl = \"{}\"\nbreaker_min_calls = 0\n",
        slow.url(),
        failing.url()
    );
    let gateway = start(&temp, &settings).await;
    // All at once, so that none has ended before the third arrives.
    let posts = (0..8).map(async |_| send(&gateway, &to_callee("EO001")).await);
    let ids: BTreeSet<String> = join_all(posts).await.into_iter().collect();
    // The default breaker would have opened at the fifth.
    for _ in 0..8 {
        let id = send(&gateway, &to_callee("EO002")).await;
        arrived(&failing, &id, 1).await;
    }
    all_delivered(&slow, &ids).await;
    assert_eq!(slow.max_in_flight(), 2);
}
