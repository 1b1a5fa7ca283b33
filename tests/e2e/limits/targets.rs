//! Limits and circuit breaker of a target, and what becomes of deferred callbacks.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tests::callers::{CallerAnswer, Callers};
use tests::targets::CapturedRequest;
use tests::{
    BrokerKind, BrokerUnderTest, ExclusiveBroker, Gateway, GatewayOptions, GatewayRole,
    ScriptedReply, TestTarget, callback, eventually,
};

/// Enough for the delay queues, on a loaded machine too.
pub(super) const IN_TIME: Duration = Duration::from_secs(90);

/// The default limits.
fn options() -> GatewayOptions {
    GatewayOptions::default()
        .with("RINGBACK__LIMITS__IN_FLIGHT", "")
        .with("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "20")
}

/// Sends this many callbacks to a URL; returns their ids.
pub(super) async fn send(gateway: &Gateway<'_>, url: &str, count: usize) -> BTreeSet<String> {
    let posts = (0..count).map(async |_| gateway.post(&callback(url)).await.accepted());
    join_all(posts).await.into_iter().collect()
}

pub(super) async fn all_delivered(target: &TestTarget, ids: &BTreeSet<String>) {
    eventually("every callback at its target", IN_TIME, async || {
        let missing = ids.difference(&target.delivered_ids()).count();
        (missing == 0)
            .then_some(())
            .ok_or(format!("{missing} missing"))
    })
    .await;
}

/// The value of one time series of a dispatcher; 0 if it does not exist (yet).
async fn metric(gateway: &Gateway<'_>, series: &str) -> u64 {
    let page = gateway.metrics(GatewayRole::Dispatcher(0)).await;
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Waits until the dispatcher shows this state of the target's breaker: 0 closed, 1 half open, 2
/// open.
pub(super) async fn breaker_is(gateway: &Gateway<'_>, target: &TestTarget, state: u64) {
    let series = format!("ringback_target_breaker{{target=\"{}\"}}", target.name());
    eventually("the breaker's state", IN_TIME, async || {
        let page = gateway.metrics(GatewayRole::Dispatcher(0)).await;
        let line = format!("{series} {state}");
        let seen = page.lines().any(|it| it == line);
        seen.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_of_a_hanging_target_does_not_hold_up_a_healthy_one() {
    const DEAD: u64 = 10_000;
    let turn = ExclusiveBroker::take().await;
    // Only the cap: a breaker would defer the hanging target's callbacks after a while.
    let options = options().with("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "0");
    let gateway = Gateway::start(&turn, options).await;
    let (dead, live) = (
        TestTarget::http(ScriptedReply::hang()),
        TestTarget::http(ScriptedReply::status(200)),
    );
    let callers = Callers::start(gateway.ingress.address, &[dead.url()], 64, DEAD);
    let answers = callers.done().await;
    assert!(answers.iter().all(CallerAnswer::accepted));
    let before = gateway.queue_depth("first").await;
    let begun = Instant::now();
    let ids = send(&gateway, &live.url(), 100).await;
    all_delivered(&live, &ids).await;
    let took = begun.elapsed();
    // Printed, not asserted: behind all those attempts of 15 s each it would take ten minutes.
    println!(
        "100 callbacks behind {DEAD} for a hanging target, {before} of them still in their way, \
         arrived within {took:?}"
    );
    // A tenth of the 256 slots for first attempts and of the 64 for retries. The target still
    // counts an attempt that was given up until it notices the closed connection; the next one may
    // be there by then.
    let cap = 25 + 6;
    let most = dead.max_in_flight();
    assert!(most <= 2 * cap, "{most} of 320 slots");
}

#[tokio::test]
async fn callbacks_deferred_by_a_breaker_arrive_after_the_recovery_without_spending_an_attempt() {
    let options = options()
        .with("RINGBACK__LIMITS__BREAKER_MIN_CALLS", "5")
        .with("RINGBACK__LIMITS__BREAKER_OPEN_DURATION", "3s");
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let target = TestTarget::http(ScriptedReply::status(500));
    let failed = send(&gateway, &target.url(), 10).await;
    breaker_is(&gateway, &target, 2).await;
    let deferred = send(&gateway, &target.url(), 30).await;
    eventually("some of them deferred", IN_TIME, async || {
        let series = "ringback_deferrals_total{reason=\"breaker_open\"}";
        let deferred = metric(&gateway, series).await;
        (deferred >= 20).then_some(()).ok_or(deferred.to_string())
    })
    .await;
    target.set(ScriptedReply::status(200));
    let all = failed.union(&deferred).cloned().collect();
    all_delivered(&target, &all).await;
    breaker_is(&gateway, &target, 0).await;
    // A probe may have failed before the recovery; every spent attempt was seen here.
    let arrived = target.requests();
    for id in &all {
        let seen: Vec<u32> = arrived
            .iter()
            .filter(|it| it.id == *id)
            .map(|it| it.attempt)
            .collect();
        let spent: Vec<u32> = (1..).take(seen.len()).collect();
        assert_eq!(seen, spent, "{id}");
    }
    let unspent = arrived.iter().filter(|it| deferred.contains(&it.id));
    let first = unspent.filter(|it| it.attempt == 1 && it.status == Some(200));
    assert!(first.count() >= 20, "{arrived:?}");
}

#[tokio::test]
async fn a_target_never_sees_more_than_its_cap_at_a_time() {
    let options = options().with("RINGBACK__LIMITS__IN_FLIGHT", "3");
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let target = TestTarget::http(ScriptedReply::status(200).after(Duration::from_millis(50)));
    let ids = send(&gateway, &target.url(), 60).await;
    all_delivered(&target, &ids).await;
    assert_eq!(target.max_in_flight(), 3);
    let arrived = target.requests();
    assert_eq!(arrived.len(), ids.len(), "nothing twice");
    assert!(arrived.iter().all(|it| it.attempt == 1), "none was spent");
}

#[tokio::test]
async fn apps_that_call_one_target_share_its_cap() {
    // The second app has a list of its own, and therefore connections of its own.
    let options = options()
        .with("RINGBACK__LIMITS__IN_FLIGHT", "3")
        .with("RINGBACK__APPS__second__ALLOWED_HOSTS", "127.0.0.0/8");
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let target = TestTarget::http(ScriptedReply::status(200).after(Duration::from_millis(50)));
    let posts = (0..60).map(async |place| {
        let mut callback = callback(&target.url());
        callback["app_id"] = ["first", "second", "third"][place % 3].into();
        gateway.post(&callback).await.accepted()
    });
    let ids = join_all(posts).await.into_iter().collect();
    all_delivered(&target, &ids).await;
    assert_eq!(target.max_in_flight(), 3);
    let arrived = target.requests();
    assert_eq!(arrived.len(), ids.len(), "nothing twice");
    let apps = ["first", "second", "third"].map(|app| {
        let of = |it: &&CapturedRequest| it.headers["x-callback-app-id"] == *app;
        arrived.iter().filter(of).count()
    });
    assert_eq!(apps, [20; 3]);
}

#[tokio::test]
async fn a_rate_is_respected_and_nothing_is_lost() {
    /// The rate is 10 a second.
    const EACH: Duration = Duration::from_millis(100);
    const BURST: usize = 2;
    let options = options()
        .with("RINGBACK__LIMITS__RATE", "10")
        .with("RINGBACK__LIMITS__BURST", "2");
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options).await;
    let target = TestTarget::http(ScriptedReply::status(200));
    let begun = Instant::now();
    let ids = send(&gateway, &target.url(), 40).await;
    all_delivered(&target, &ids).await;
    let arrived = target.requests();
    assert_eq!(arrived.len(), ids.len(), "nothing twice");
    // A stall of the machine bunches them, but makes none early.
    for (place, one) in arrived.iter().enumerate() {
        let waits = place.saturating_sub(BURST);
        let due = EACH * u32::try_from(waits).unwrap();
        let arrived_after = one.at - begun;
        assert!(
            arrived_after >= due,
            "number {place} arrived_after after {arrived_after:?}"
        );
    }
}

#[tokio::test]
async fn retry_after_holds_back_all_callbacks_to_the_target() {
    let gateway = Gateway::start(BrokerUnderTest::shared().await, options()).await;
    let target = TestTarget::http(ScriptedReply::status(429).header("retry-after", "4"));
    let first = send(&gateway, &target.url(), 1).await;
    let asked = eventually("the first attempt", IN_TIME, async || {
        target.requests().first().map(|it| it.at)
    })
    .await;
    let series = "ringback_attempts_total{outcome=\"answered_4xx\",queue=\"first\"}";
    eventually("its answer", IN_TIME, async || {
        (metric(&gateway, series).await == 1).then_some(())
    })
    .await;
    target.set(ScriptedReply::status(200));
    let later = send(&gateway, &target.url(), 10).await;
    all_delivered(&target, &first.union(&later).cloned().collect()).await;
    for arrived in &target.requests()[1..] {
        let waited = arrived.at - asked;
        assert!(waited >= Duration::from_secs(4), "{waited:?}");
        assert!(arrived.attempt == 1 || first.contains(&arrived.id));
    }
}

#[tokio::test]
async fn a_stop_loses_nothing_that_waits_for_a_permit() {
    let options = options()
        .with("RINGBACK__LIMITS__IN_FLIGHT", "2")
        .with("RINGBACK__LIMITS__QUEUE_TIMEOUT", "10s");
    let mut gateway = Gateway::start(
        BrokerUnderTest::shared().await,
        GatewayOptions {
            dispatchers: 2,
            ..options
        },
    )
    .await;
    let target = TestTarget::http(ScriptedReply::status(200).after(Duration::from_millis(700)));
    let ids = send(&gateway, &target.url(), 12).await;
    eventually("a full target", IN_TIME, async || {
        (target.max_in_flight() >= 2).then_some(())
    })
    .await;
    let instance = &mut gateway.dispatching_instances()[0];
    instance.process.sigterm();
    let ended = instance.process.wait_exit(Duration::from_secs(20)).await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    match BrokerKind::chosen() {
        BrokerKind::RabbitMq => drop(gateway.dispatchers.remove(0)),
        BrokerKind::Embedded => gateway.restart_ingress().await,
    }
    all_delivered(&target, &ids).await;
    let arrived = target.requests();
    assert_eq!(arrived.len(), ids.len(), "nothing twice: {arrived:?}");
}
