//! The broker dies under load or closes all its connections, and comes back.

use tests::callers::{CallerAnswer, Wire, post};
use tests::{ExclusiveRabbitMq, GatewayRole, Scenario, eventually};

use super::{CALLERS, NOTICED, PUBLISH_DEADLINE, SLACK, options};

const BOTH: [GatewayRole; 2] = [GatewayRole::Ingress, GatewayRole::Dispatcher(0)];

/// Enough traffic to keep every queue, the delay queues and all connections busy.
const BUSY: usize = 1_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_killed_under_load_loses_nothing() {
    let rabbit = ExclusiveRabbitMq::take().await;
    let mut scenario = Scenario::start(&rabbit, options()).await;
    rabbit.flush_declarations().await;
    let callers = scenario.callers(&["/ok", "/flaky/1"], CALLERS, u64::MAX);
    callers.accepted_more(BUSY).await;

    rabbit.kill().await;
    for role in BOTH {
        scenario.broker_is(role, "disconnected", NOTICED).await;
        let page = scenario.metrics(role).await;
        assert!(
            page.contains("ringback_broker_up{connection=\"publish\"} 0"),
            "{page}"
        );
    }
    // Every caller has got a refusal.
    eventually("all callers refused", NOTICED, async || {
        (callers.count(CallerAnswer::refused) >= CALLERS * 3).then_some(())
    })
    .await;

    rabbit.restart().await;
    let mut wire = Wire::to(scenario.ingress.address);
    scenario
        .broker_is(GatewayRole::Ingress, "connected", NOTICED)
        .await;
    let first = post(&mut wire, 0, &scenario.callee.url("/ok")).await;
    assert!(first.accepted(), "the first request afterwards: {first:?}");
    callers.accepted_more(BUSY).await;
    scenario
        .broker_is(GatewayRole::Dispatcher(0), "connected", NOTICED)
        .await;

    let mut answers = callers.stop().await;
    answers.push(first);
    let late: Vec<_> = answers
        .iter()
        .filter(|answer| answer.took > PUBLISH_DEADLINE + SLACK)
        .collect();
    assert!(late.is_empty(), "beyond the publish deadline: {late:?}");
    for answer in &answers {
        assert!(
            matches!(answer.status, Some(200 | 503)),
            "another answer: {answer:?}"
        );
    }
    let gateway = &mut scenario.gateway;
    assert_eq!(gateway.ingress.process.ended(), None);
    assert_eq!(gateway.dispatchers[0].process.ended(), None);
    let audit = scenario.settle(&answers).await;
    println!("broker killed: {audit}");
    assert!(audit.refused >= CALLERS * 3, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_closed_by_the_broker_lose_nothing() {
    let rabbit = ExclusiveRabbitMq::take().await;
    let mut scenario = Scenario::start(&rabbit, options()).await;
    let callers = scenario.callers(&["/ok", "/flaky/1", "/slow/100"], CALLERS, u64::MAX);
    for _ in 0..2 {
        callers.accepted_more(BUSY / 2).await;
        rabbit
            .ctl(&["close_all_connections", "an operator closes them"])
            .await;
    }
    callers.accepted_more(BUSY / 2).await;
    for role in BOTH {
        scenario.broker_is(role, "connected", NOTICED).await;
    }
    let answers = callers.stop().await;
    let slowest = answers.iter().map(|answer| answer.took).max();
    assert!(slowest <= Some(PUBLISH_DEADLINE + SLACK), "{slowest:?}");
    let failed = answers.iter().filter(|answer| !answer.accepted()).count();
    assert!(
        failed > 0,
        "no caller noticed: nothing was closed under load"
    );
    let audit = scenario.settle(&answers).await;
    println!("connections closed twice: {audit}");
}
