//! Does a bad target keep to itself, and is what waits for it kept? Limits and breaker here, what an
//! operator sets for one callee in `isolation/callees.rs`.

mod callees;
pub(crate) mod moody;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tests::callers::{Answer, Callers};
use tests::{Gateway, GatewayOptions, Ground, Kind, Role, Turn, callback, eventually};

use moody::{Mood, Moody};

/// What waits on the way through the ladder has come by then, on a loaded machine too.
const IN_TIME: Duration = Duration::from_secs(90);

/// The limits as shipped.
fn options() -> GatewayOptions {
    GatewayOptions::default()
        .with("RINGBACK__LIMITS__IN_FLIGHT", "")
        .with("RINGBACK__LIMITS__BREAKER_CALLS", "20")
}

/// Sends so many callbacks to a URL, and says under which ids they were accepted.
async fn send(gateway: &Gateway<'_>, url: &str, count: usize) -> BTreeSet<String> {
    let posts = (0..count).map(async |_| gateway.post(&callback(url)).await.accepted());
    join_all(posts).await.into_iter().collect()
}

async fn all_taken(target: &Moody, ids: &BTreeSet<String>) {
    eventually("every callback at its target", IN_TIME, async || {
        let missing = ids.difference(&target.taken()).count();
        (missing == 0)
            .then_some(())
            .ok_or(format!("{missing} missing"))
    })
    .await;
}

/// The value of one time series of a dispatcher, 0 when it is not there (yet).
async fn metric(gateway: &Gateway<'_>, series: &str) -> u64 {
    let page = gateway.metrics(Role::Dispatcher(0)).await;
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// Waits until the dispatcher shows the target's breaker so: 0 closed, 1 half open, 2 open.
async fn breaker_is(gateway: &Gateway<'_>, target: &Moody, state: u64) {
    let series = format!("ringback_target_breaker{{target=\"{}\"}}", target.target());
    eventually("the breaker's state", IN_TIME, async || {
        let page = gateway.metrics(Role::Dispatcher(0)).await;
        let line = format!("{series} {state}");
        let seen = page.lines().any(|it| it == line);
        seen.then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backlog_of_a_hanging_target_does_not_hold_up_a_live_one() {
    const DEAD: u64 = 10_000;
    let turn = Turn::take().await;
    // The cap alone: a breaker would take the hanging one's callbacks out of the way after a while.
    let options = options().with("RINGBACK__LIMITS__BREAKER_CALLS", "0");
    let gateway = Gateway::start(&turn, options).await;
    let (dead, live) = (
        Moody::start(Mood::Hang).await,
        Moody::start(Mood::Status(200)).await,
    );
    let callers = Callers::start(gateway.ingress.address, &[dead.url()], 64, DEAD);
    let answers = callers.done().await;
    assert!(answers.iter().all(Answer::accepted));
    let before = gateway.queue_depth("first").await;
    let begun = Instant::now();
    let ids = send(&gateway, &live.url(), 100).await;
    all_taken(&live, &ids).await;
    let took = begun.elapsed();
    // Told, not judged: behind all those attempts of 15 s each it would be ten minutes.
    println!(
        "100 callbacks behind {DEAD} for a hanging target, {before} of them still in their way, \
         arrived within {took:?}"
    );
    // A tenth of the 256 slots, and of the 64 for retries. What is given up goes on counting at the
    // target until it sees that its caller has left, and the next call may be there before that.
    let cap = 25 + 6;
    let most = dead.most_in_flight();
    assert!(most <= 2 * cap, "{most} of 320 slots");
}

#[tokio::test]
async fn what_a_breaker_sets_aside_arrives_after_the_recovery_its_attempt_unspent() {
    let options = options()
        .with("RINGBACK__LIMITS__BREAKER_CALLS", "5")
        .with("RINGBACK__LIMITS__BREAKER_OPEN", "3s");
    let gateway = Gateway::start(Ground::shared().await, options).await;
    let target = Moody::start(Mood::Status(500)).await;
    let failed = send(&gateway, &target.url(), 10).await;
    breaker_is(&gateway, &target, 2).await;
    let parked = send(&gateway, &target.url(), 30).await;
    eventually("some of them set aside", IN_TIME, async || {
        let series = "ringback_parked_total{reason=\"breaker_open\"}";
        let parked = metric(&gateway, series).await;
        (parked >= 20).then_some(()).ok_or(parked.to_string())
    })
    .await;
    target.be(Mood::Status(200));
    let all = failed.union(&parked).cloned().collect();
    all_taken(&target, &all).await;
    breaker_is(&gateway, &target, 0).await;
    // A probe may have failed before the recovery; each attempt that was spent was seen here.
    let arrived = target.arrived();
    for id in &all {
        let seen: Vec<u32> = arrived
            .iter()
            .filter(|it| it.id == *id)
            .map(|it| it.attempt)
            .collect();
        let spent: Vec<u32> = (1..).take(seen.len()).collect();
        assert_eq!(seen, spent, "{id}");
    }
    let unspent = arrived.iter().filter(|it| parked.contains(&it.id));
    let first = unspent.filter(|it| it.attempt == 1 && it.status == Some(200));
    assert!(first.count() >= 20, "{arrived:?}");
}

#[tokio::test]
async fn a_target_never_sees_more_than_its_cap_at_a_time() {
    let options = options().with("RINGBACK__LIMITS__IN_FLIGHT", "3");
    let gateway = Gateway::start(Ground::shared().await, options).await;
    let target = Moody::start(Mood::Slow(Duration::from_millis(50))).await;
    let ids = send(&gateway, &target.url(), 60).await;
    all_taken(&target, &ids).await;
    assert_eq!(target.most_in_flight(), 3);
    let arrived = target.arrived();
    assert_eq!(arrived.len(), ids.len(), "nothing twice");
    assert!(arrived.iter().all(|it| it.attempt == 1), "none was spent");
}

#[tokio::test]
async fn apps_that_call_one_target_share_its_cap() {
    // The second has a list of its own, and with it connections that no other app uses.
    let options = options()
        .with("RINGBACK__LIMITS__IN_FLIGHT", "3")
        .with("RINGBACK__APPS__second__ONLY", "127.0.0.0/8");
    let gateway = Gateway::start(Ground::shared().await, options).await;
    let target = Moody::start(Mood::Slow(Duration::from_millis(50))).await;
    let posts = (0..60).map(async |place| {
        let mut callback = callback(&target.url());
        callback["app_id"] = ["first", "second", "third"][place % 3].into();
        gateway.post(&callback).await.accepted()
    });
    let ids = join_all(posts).await.into_iter().collect();
    all_taken(&target, &ids).await;
    assert_eq!(target.most_in_flight(), 3);
    let arrived = target.arrived();
    assert_eq!(arrived.len(), ids.len(), "nothing twice");
    let apps = ["first", "second", "third"].map(|app| {
        let of = |it: &&moody::Arrived| it.headers["x-callback-app-id"] == *app;
        arrived.iter().filter(of).count()
    });
    assert_eq!(apps, [20; 3]);
}

#[tokio::test]
async fn a_rate_is_kept_to_and_nothing_is_lost_over_it() {
    /// The rate is 10 a second.
    const EACH: Duration = Duration::from_millis(100);
    const BURST: usize = 2;
    let options = options()
        .with("RINGBACK__LIMITS__RATE", "10")
        .with("RINGBACK__LIMITS__BURST", "2");
    let gateway = Gateway::start(Ground::shared().await, options).await;
    let target = Moody::start(Mood::Status(200)).await;
    let begun = Instant::now();
    let ids = send(&gateway, &target.url(), 40).await;
    all_taken(&target, &ids).await;
    let arrived = target.arrived();
    assert_eq!(arrived.len(), ids.len(), "nothing twice");
    // A stall of the machine bunches them, but makes none early. One is for the clocks' rounding.
    for (place, one) in arrived.iter().enumerate() {
        let waits = place.saturating_sub(BURST);
        let due = EACH * u32::try_from(waits).unwrap();
        let came = one.at - begun;
        assert!(came >= due, "number {place} came after {came:?}");
    }
}

#[tokio::test]
async fn a_target_that_asks_to_be_left_alone_is_left_alone_by_all_callbacks() {
    let gateway = Gateway::start(Ground::shared().await, options()).await;
    let target = Moody::start(Mood::Leave(4)).await;
    let first = send(&gateway, &target.url(), 1).await;
    let asked = eventually("the first attempt", IN_TIME, async || {
        target.arrived().first().map(|it| it.at)
    })
    .await;
    let series = "ringback_attempts_total{outcome=\"answered_4xx\",lane=\"first\"}";
    eventually("its answer", IN_TIME, async || {
        (metric(&gateway, series).await == 1).then_some(())
    })
    .await;
    target.be(Mood::Status(200));
    let later = send(&gateway, &target.url(), 10).await;
    all_taken(&target, &first.union(&later).cloned().collect()).await;
    for arrived in &target.arrived()[1..] {
        let waited = arrived.at - asked;
        assert!(waited >= Duration::from_secs(4), "{waited:?}");
        assert!(arrived.attempt == 1 || first.contains(&arrived.id));
    }
}

#[tokio::test]
async fn a_stop_loses_nothing_that_waits_for_its_place() {
    let options = options()
        .with("RINGBACK__LIMITS__IN_FLIGHT", "2")
        .with("RINGBACK__LIMITS__WAITING", "10s");
    let mut gateway = Gateway::start(
        Ground::shared().await,
        GatewayOptions {
            dispatchers: 2,
            ..options
        },
    )
    .await;
    let target = Moody::start(Mood::Slow(Duration::from_millis(700))).await;
    let ids = send(&gateway, &target.url(), 12).await;
    eventually("a full target", IN_TIME, async || {
        (target.most_in_flight() >= 2).then_some(())
    })
    .await;
    let door = &mut gateway.doors_out()[0];
    door.process.sigterm();
    let ended = door.process.wait_exit(Duration::from_secs(20)).await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    match Kind::chosen() {
        Kind::RabbitMq => drop(gateway.dispatchers.remove(0)),
        Kind::Embedded => gateway.restart_ingress().await,
    }
    all_taken(&target, &ids).await;
    let arrived = target.arrived();
    assert_eq!(arrived.len(), ids.len(), "nothing twice: {arrived:?}");
}
