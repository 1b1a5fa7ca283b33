//! A dispatcher is killed while attempts are in flight: another one makes them again.

use std::time::Duration;

use tests::{GatewayOptions, GatewayRole, RabbitMq, Scenario, eventually};

use super::NOTICED;

const CALLBACKS: usize = 60;

async fn in_flight(scenario: &Scenario<'_>, dispatcher: usize) -> usize {
    let page = scenario.metrics(GatewayRole::Dispatcher(dispatcher)).await;
    let series = "ringback_attempts_in_flight{queue=\"first\"} ";
    let value = page.lines().find_map(|line| line.strip_prefix(series));
    value.and_then(|value| value.parse().ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_dispatchers_attempts_are_made_by_another_under_the_same_id() {
    let options = GatewayOptions {
        dispatchers: 2,
        ..GatewayOptions::default()
    };
    // Long enough for a busy machine to start them all.
    let options = options.with("RINGBACK__DISPATCHER__ATTEMPT_TIMEOUT", "60s");
    let mut scenario = Scenario::start(RabbitMq::shared().await, options).await;
    let callers = scenario.callers(&["/slow/14000"], CALLBACKS, CALLBACKS.try_into().unwrap());
    let answers = callers.done().await;
    eventually(
        "all attempts in flight",
        Duration::from_secs(10),
        async || {
            let seen = scenario.callee.requests.count();
            (seen == u64::try_from(CALLBACKS).unwrap()).then_some(())
        },
    )
    .await;
    let (killed, left) = (in_flight(&scenario, 0).await, in_flight(&scenario, 1).await);
    assert_eq!(killed + left, CALLBACKS, "some have ended already");
    assert!(killed > 0, "nothing to kill");

    let mut dispatcher = scenario.dispatchers.remove(0);
    dispatcher.process.kill9();
    eventually("the killed attempts again", NOTICED, async || {
        let seen = scenario.callee.requests.count();
        (seen == u64::try_from(CALLBACKS + killed).unwrap()).then_some(())
    })
    .await;

    let audit = scenario.settle(&answers).await;
    println!("dispatcher killed with {killed} attempts in flight: {audit}");
    // The ledger has checked that repeats have the same id and body.
    assert_eq!((audit.accepted, audit.delivered), (CALLBACKS, CALLBACKS));
    assert_eq!((audit.repeats, audit.max_per_attempt), (killed, 2));
}
