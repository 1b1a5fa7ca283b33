//! A queue refuses messages for a while, because of a length limit that a policy sets.

use std::time::{Duration, Instant};

use tests::callers::{Wire, post};
use tests::{GatewayOptions, GatewayRole, RabbitMq, Scenario, eventually, until_none_left};

use super::{NOTICED, fault_is, logged, metric};

const DISPATCHER: GatewayRole = GatewayRole::Dispatcher(0);
const FAILING: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_was_full_takes_messages_again_once_its_limit_is_gone() {
    let rabbit = RabbitMq::shared().await;
    let options = GatewayOptions {
        dispatchers: 0,
        ..GatewayOptions::default()
    };
    let mut scenario = Scenario::start(rabbit, options).await;
    let policy = scenario.name("limit");
    let pattern = format!("^{}$", scenario.name("first").replace('.', "\\."));
    rabbit
        .set_policy(&policy, &pattern, r#"{"max-length":3}"#)
        .await;
    let target = scenario.callee.url("/ok");
    let mut wire = Wire::to(scenario.ingress.address);
    let mut answers = Vec::new();
    // Longer than nacks must last to count as lasting.
    let full_since = eventually("three seconds of nacks", NOTICED, async || {
        let answer = post(&mut wire, 0, &target).await;
        let nacked = answer.status == Some(503);
        answers.push(answer);
        let first = answers.iter().find(|it| it.status == Some(503));
        let since = first.map(|first| first.began);
        let lasting = since.is_some_and(|since| since.elapsed() > Duration::from_secs(3));
        if nacked && lasting { since } else { None }
    })
    .await;
    println!("nacked for {:?}", full_since.elapsed());
    fault_is(
        &scenario,
        GatewayRole::Ingress,
        "nacking publishes: first",
        true,
    )
    .await;
    let series = "ringback_publish_nacks_total{queue=\"first\"}";
    assert!(metric(&scenario, GatewayRole::Ingress, series).await > 1);

    rabbit.clear_policy(&policy).await;
    let cleared = Instant::now();
    eventually("an accepted callback", NOTICED, async || {
        let answer = post(&mut wire, 0, &target).await;
        let accepted = answer.accepted();
        answers.push(answer);
        accepted.then_some(())
    })
    .await;
    println!(
        "accepted {:?} after the policy was cleared",
        cleared.elapsed()
    );
    fault_is(&scenario, GatewayRole::Ingress, "nacking", false).await;
    let log = scenario.ingress.process.log();
    assert_eq!(
        logged(&log, "nacks every message for this queue"),
        1,
        "{log}"
    );
    assert_eq!(logged(&log, "broker connection down"), 0, "{log}");

    scenario.add_dispatcher().await;
    let audit = scenario.settle(&answers).await;
    println!("a full queue: {audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_delay_queues_stop_neither_other_targets_nor_the_end_of_the_process() {
    let rabbit = RabbitMq::shared().await;
    // Longer than the pause between two tries of a publish that is nacked: with 2 s, the queue had room
    // again at each try, and whether its nacks lasted was chance.
    let options = GatewayOptions {
        schedule: "8s,8s".to_owned(),
        ..GatewayOptions::default()
    };
    let mut scenario = Scenario::start(rabbit, options).await;
    let policy = scenario.name("limit");
    let pattern = format!("^{}", scenario.name("delay.").replace('.', "\\."));
    rabbit
        .set_policy(&policy, &pattern, r#"{"max-length":1}"#)
        .await;
    let failing = u64::try_from(FAILING).unwrap();
    let mut answers = scenario.callers(&["/flaky/1"], 8, failing).done().await;
    fault_is(&scenario, DISPATCHER, "nacking publishes: delay.0", true).await;

    // Others are delivered meanwhile.
    let healthy = scenario.callers(&["/ok"], 8, 200).done().await;
    let ids: Vec<String> = tests::callers::accepted_ids(&healthy)
        .map(str::to_owned)
        .collect();
    assert_eq!(ids.len(), 200);
    answers.extend(healthy);
    until_none_left("healthy callbacks", NOTICED, async || {
        let received = scenario.callee.requests.received();
        let delivered = |id: &String| received.iter().any(|it| it.id.as_ref() == Some(id));
        let left = ids.iter().filter(|id| !delivered(id)).count();
        Ok::<_, String>((left, format!("{left} left")))
    })
    .await;
    let page = scenario.metrics(DISPATCHER).await;
    let nacks = page
        .lines()
        .filter(|line| line.starts_with("ringback_publish_nacks_total{"));
    let nacks: u64 = nacks
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum();
    let log = scenario.dispatchers[0].process.log();
    println!("{nacks} nacks");
    assert!(nacks < 100 * failing, "not backed off: {nacks}");
    assert_eq!(logged(&log, "broker connection down"), 0, "{log}");
    assert!(
        logged(&log, "nacks every message for this queue") <= 4,
        "{log}"
    );

    let asked = Instant::now();
    let process = &mut scenario.dispatchers[0].process;
    process.sigterm();
    assert!(process.wait_exit(NOTICED).await.success());
    let took = asked.elapsed();
    println!("stopped after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");

    rabbit.clear_policy(&policy).await;
    scenario.restart_dispatcher(0).await;
    let audit = scenario.settle(&answers).await;
    println!("full delay queues: {audit}");
    assert_eq!(audit.accepted, 200 + FAILING, "{audit}");
}
