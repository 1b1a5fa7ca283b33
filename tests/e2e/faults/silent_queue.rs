//! One queue confirms nothing, or delivers nothing, while its node and the other queues go on.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::callers::{Wire, accepted_ids, post};
use tests::ledger::Acceptance;
use tests::{
    ExclusiveRabbitMq, GatewayOptions, GatewayRole, RabbitMq, Scenario, callback, eventually,
};

use super::{NOTICED, SLACK, fault_is, logged, metric};

const INGRESS: GatewayRole = GatewayRole::Ingress;
const DISPATCHER: GatewayRole = GatewayRole::Dispatcher(0);
const DEADLINE: Duration = Duration::from_secs(2);

fn options() -> GatewayOptions {
    let deadline = format!("{}s", DEADLINE.as_secs());
    GatewayOptions::default().with("RINGBACK__BROKER__PUBLISH_TIMEOUT", &deadline)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_does_not_confirm_is_refused_and_the_others_go_on() {
    let rabbit = RabbitMq::shared().await;
    let scenario = Scenario::start(rabbit, options()).await;
    let target = scenario.callee.url("/ok");
    let mut wire = Wire::to(scenario.ingress.address);
    let mut answers = vec![post(&mut wire, 0, &target).await];
    assert!(answers[0].accepted());
    let first = scenario.name("first");
    rabbit.suspend_queue(&first).await;

    let unknown = post(&mut wire, 0, &target).await;
    assert_eq!(unknown.status, Some(503), "{unknown:?}");
    let told = matches!(unknown.acceptance, Acceptance::Unknown(Some(_)));
    assert!(told, "{unknown:?}");
    assert!(unknown.took < DEADLINE + SLACK, "{unknown:?}");
    answers.push(unknown);
    // What follows is refused without a wait for the timeout, and is never delivered.
    for _ in 0..5 {
        let refused = post(&mut wire, 0, &target).await;
        assert!(refused.refused() && refused.took < DEADLINE, "{refused:?}");
        answers.push(refused);
    }
    fault_is(&scenario, INGRESS, "not confirming publishes: first", true).await;
    // Another queue takes messages all the while.
    let mut later = callback(&target);
    later["options"] = json!({"delay_seconds": 1});
    let answer = scenario.post(&later).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    rabbit.resume_queue(&first).await;
    fault_is(&scenario, INGRESS, "not confirming", false).await;
    // The connection may have been idle for too long on a busy machine.
    let mut wire = Wire::to(scenario.ingress.address);
    let accepted = post(&mut wire, 0, &target).await;
    assert!(accepted.accepted(), "{accepted:?}");
    answers.push(accepted);
    for (series, count) in [("publish_overdue", 1), ("publish_late_confirms", 1)] {
        let series = format!("ringback_{series}_total{{queue=\"first\"}}");
        assert_eq!(metric(&scenario, INGRESS, &series).await, count, "{series}");
    }
    for process in [&scenario.ingress.process, &scenario.dispatchers[0].process] {
        let log = process.log();
        assert_eq!(logged(&log, "broker connection down"), 0, "{log}");
    }
    eventually("the delayed one", NOTICED, async || {
        (scenario.callee.requests.count() >= 4).then_some(())
    })
    .await;
    let audit = scenario.ledger(&answers).await.audit();
    println!("a queue without confirms: {audit}");
    // The unknown one exists, as its caller was told.
    assert_eq!((audit.unknown, audit.recovered, audit.refused), (1, 1, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follow_ups_that_are_not_confirmed_stop_no_other_target() {
    let rabbit = RabbitMq::shared().await;
    let mut scenario = Scenario::start(rabbit, options()).await;
    let level = scenario.name("delay.01");
    // From before the command: the queue stops in the middle of it, and it takes seconds on a busy machine.
    let suspended = Instant::now();
    rabbit.suspend_queue(&level).await;
    // Retries after 1 s and up to 20 % go to the level of 2 s.
    let failing = scenario.callers(&["/flaky/1"], 4, 20).done().await;
    fault_is(
        &scenario,
        DISPATCHER,
        "not confirming publishes: delay.01",
        true,
    )
    .await;
    let healthy = scenario.callers(&["/ok"], 4, 40).done().await;
    let ids: Vec<&str> = accepted_ids(&healthy).collect();
    assert_eq!(ids.len(), 40);
    eventually("the healthy ones", NOTICED, async || {
        let received = scenario.callee.requests.received();
        let delivered = |id: &&&str| received.iter().any(|it| it.id.as_deref() == Some(**id));
        let left = ids.iter().filter(|id| !delivered(id)).count();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} left"))
        }
    })
    .await;
    rabbit.resume_queue(&level).await;
    let given_up = suspended.elapsed() > Duration::from_secs(20);
    let answers = [failing, healthy].concat();
    let audit = scenario.settle(&answers).await;
    println!("a level without confirms: {audit}");
    assert_eq!(audit.accepted, 60, "{audit}");
    if !given_up {
        // Every follow-up waited for its own confirm.
        let log = scenario.dispatchers[0].process.log();
        assert_eq!(logged(&log, "broker connection down"), 0, "{log}");
        assert_eq!(audit.repeats, 0, "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_receives_nothing_connects_anew() {
    let rabbit = RabbitMq::shared().await;
    let options = GatewayOptions::default().with("RINGBACK__DISPATCHER__FIRST_CONCURRENCY", "1");
    let mut scenario = Scenario::start(rabbit, options).await;
    let warm = scenario.callers(&["/ok"], 1, 5).done().await;
    scenario.all_delivered(&warm).await;
    let suspended = rabbit.suspend_consumers(&scenario.name("first")).await;
    let began = Instant::now();
    // More than its prefetch, which the broker counts as delivered.
    let sent = scenario.callers(&["/ok"], 4, 60).done().await;
    let series = "ringback_consumer_silent_total{queue=\"first\"}";
    eventually("a new connection", NOTICED, async || {
        (metric(&scenario, DISPATCHER, series).await == 1).then_some(())
    })
    .await;
    let noticed = began.elapsed();
    println!("noticed after {noticed:?}");
    assert!(noticed > Duration::from_secs(9), "{noticed:?}");
    eventually("deliveries", NOTICED, async || {
        (scenario.callee.requests.count() > 20).then_some(())
    })
    .await;
    rabbit.resume_consumers(suspended).await;
    let answers = [warm, sent].concat();
    let audit = scenario.settle(&answers).await;
    println!("a silent consumer: {audit}");
    let log = scenario.dispatchers[0].process.log();
    assert_eq!(logged(&log, "messages are ready in the queue"), 1, "{log}");
    assert_eq!(audit.accepted, 65, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_the_broker_opens_too_late_holds_no_messages() {
    let rabbit = ExclusiveRabbitMq::take().await;
    let scenario = Scenario::start(&rabbit, options()).await;
    let warm = scenario.callers(&["/ok"], 1, 5).done().await;
    scenario.all_delivered(&warm).await;
    let first = scenario.name("first");
    rabbit.suspend_queue(&first).await;
    let closing = ["close_all_connections", "an operator closes them"];
    rabbit.ctl(&closing).await;
    // The dispatcher has given up the first consumer that it asked for, and asks for a second one. The
    // broker opens both as soon as the queue answers.
    fault_is(&scenario, DISPATCHER, "not consumed: first", true).await;
    rabbit.resume_queue(&first).await;
    fault_is(&scenario, DISPATCHER, "not consumed", false).await;

    let answers = scenario.callers(&["/ok"], 4, 60).done().await;
    assert!(accepted_ids(&answers).count() > 0, "{answers:?}");
    scenario.all_delivered(&answers).await;
    eventually("all settled", NOTICED, async || {
        match rabbit.unsettled(&first).await {
            0 => Ok(()),
            held => Err(format!("{held} held")),
        }
    })
    .await;
}
