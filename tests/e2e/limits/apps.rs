//! Shares of apps: neither an app that hangs nor one that fails holds up another.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tests::targets::Script;
use tests::{
    BrokerUnderTest, Gateway, GatewayOptions, ScriptedReply, TestTarget, callback, eventually,
};

use super::targets::{IN_TIME, all_delivered, breaker_is};

/// Long before a call that hangs for 60 s ends, and long enough for a loaded machine.
const PROMPTLY: Duration = Duration::from_secs(40);

/// As many targets at their caps as fill both queues' concurrency.
const EVIL_TARGETS: usize = 12;
const TO_EACH: usize = 26;

/// The default limits of targets.
fn options() -> GatewayOptions {
    GatewayOptions::default().with("RINGBACK__LIMITS__IN_FLIGHT", "")
}

/// Sends this many callbacks of an app to a URL; returns their ids.
async fn send(gateway: &Gateway<'_>, app: &str, url: &str, count: usize) -> BTreeSet<String> {
    let mut callback = callback(url);
    callback["app_id"] = app.into();
    callback["options"] = serde_json::json!({ "timeout_seconds": 60 });
    let posts = (0..count).map(async |_| gateway.post(&callback).await.accepted());
    join_all(posts).await.into_iter().collect()
}

fn open(targets: &[TestTarget]) -> u64 {
    targets.iter().map(TestTarget::open_connections).sum()
}

fn requests(targets: &[TestTarget]) -> u64 {
    targets.iter().map(TestTarget::request_count).sum()
}

/// One app's callbacks to targets with this script, which ends with hanging.
async fn evil(gateway: &Gateway<'_>, script: &[ScriptedReply]) -> Vec<TestTarget> {
    let targets: Vec<TestTarget> = (0..EVIL_TARGETS)
        .map(|_| TestTarget::http(script.to_vec()))
        .collect();
    for target in &targets {
        send(gateway, "evil", &target.url(), TO_EACH).await;
    }
    targets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_whose_targets_hang_does_not_hold_up_the_first_attempts_of_others() {
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options()).await;
    let evil = evil(&gateway, &[ScriptedReply::hang()]).await;
    // 256 in flight, as many as an app alone may have.
    eventually("evil's calls in flight", IN_TIME, async || {
        let open = open(&evil);
        (open >= 250).then_some(()).ok_or(open.to_string())
    })
    .await;
    let good = TestTarget::http(ScriptedReply::status(200));
    let begun = Instant::now();
    let ids = send(&gateway, "victim", &good.url(), 50).await;
    all_delivered(&good, &ids).await;
    let took = begun.elapsed();
    assert!(took < PROMPTLY, "{took:?}");
    assert!(open(&evil) >= 200, "evil's calls still hang");
    assert!(good.requests().iter().all(|it| it.attempt == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_whose_targets_hang_does_not_hold_up_the_retries_of_others() {
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options()).await;
    let mut script = vec![ScriptedReply::status(500); TO_EACH];
    script.push(ScriptedReply::hang());
    let evil = evil(&gateway, &script).await;
    // 64 in flight, as many retries as an app alone may have.
    let first = (EVIL_TARGETS * TO_EACH) as u64;
    eventually("evil's retries in flight", IN_TIME, async || {
        let retries = requests(&evil).saturating_sub(first);
        (retries >= 60).then_some(()).ok_or(retries.to_string())
    })
    .await;
    let mut script = vec![ScriptedReply::status(500); 20];
    script.push(ScriptedReply::status(200));
    let good = TestTarget::http(script);
    let begun = Instant::now();
    let ids = send(&gateway, "victim", &good.url(), 20).await;
    all_delivered(&good, &ids).await;
    let took = begun.elapsed();
    assert!(took < PROMPTLY, "{took:?}");
    assert!(good.requests().iter().any(|it| it.attempt > 1));
}

#[tokio::test]
async fn a_path_that_fails_or_asks_to_wait_for_one_app_does_not_hold_up_another_apps_path() {
    let options = options()
        .with("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "20")
        .with("RINGBACK__LIMITS__BREAKER_OPEN_DURATION", "60s");
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let asks = ScriptedReply::status(429).header("retry-after", "3600");
    let script = Script::from(ScriptedReply::status(200))
        .at("/evil500", ScriptedReply::status(500))
        .at("/evil429", asks);
    let host = TestTarget::http(script);
    let url = |path: &str| format!("{}{path}", host.url().trim_end_matches('/'));
    send(&gateway, "evil", &url("/evil500"), 24).await;
    breaker_is(&gateway, &host, 2).await;
    send(&gateway, "other", &url("/evil429"), 1).await;
    eventually("the answer 429", IN_TIME, async || {
        let answered = host.requests();
        let asked = answered.iter().any(|it| it.status == Some(429));
        asked.then_some(())
    })
    .await;
    let begun = Instant::now();
    let ids = send(&gateway, "victim", &url("/good"), 20).await;
    all_delivered(&host, &ids).await;
    let took = begun.elapsed();
    assert!(took < PROMPTLY, "{took:?}");
    // The breaker is still that of `evil`.
    breaker_is(&gateway, &host, 2).await;
    let series = format!(
        "ringback_target_breaker_apps{{target=\"{}\"}} 1",
        host.name()
    );
    let page = gateway.metrics(tests::GatewayRole::Dispatcher(0)).await;
    assert!(page.lines().any(|line| line == series), "{page}");
}

#[tokio::test]
async fn an_app_never_has_more_calls_in_flight_than_its_cap() {
    let options = options()
        .with("RINGBACK__LIMITS__APP_IN_FLIGHT", "2")
        .with("RINGBACK__APPS__second__IN_FLIGHT", "4");
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let reply = || ScriptedReply::status(200).after(Duration::from_millis(200));
    for (app, cap) in [("first", 2), ("second", 4)] {
        let target = TestTarget::http(reply());
        let ids = send(&gateway, app, &target.url(), 40).await;
        all_delivered(&target, &ids).await;
        assert_eq!(target.max_in_flight(), cap);
        let arrived = target.requests();
        assert_eq!(arrived.len(), ids.len(), "nothing twice");
        assert!(arrived.iter().all(|it| it.attempt == 1), "none was spent");
    }
}
