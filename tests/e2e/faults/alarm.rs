//! The broker runs out of memory under load: it accepts nothing and still delivers what it has.

use std::time::Instant;

use tests::callers::CallerAnswer;
use tests::{ExclusiveRabbitMq, GatewayRole, Scenario, eventually};

use super::{AT_ONCE, CALLERS, NOTICED, PUBLISH_DEADLINE, SLACK, nine_of_ten, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_alarm_refuses_callers_at_once_and_repeats_no_attempt() {
    let rabbit = ExclusiveRabbitMq::take().await;
    let mut scenario = Scenario::start(&rabbit, options()).await;
    // Two of five attempts have a follow-up to publish.
    let paths = ["/ok", "/flaky/2", "/slow/200"];
    let callers = scenario.callers(&paths, CALLERS, u64::MAX);
    callers.accepted_more(1_000).await;

    rabbit.raise_memory_alarm().await;
    scenario
        .broker_is(GatewayRole::Ingress, "blocked", NOTICED)
        .await;
    let blocked = Instant::now();
    // Follow-ups are held up as well; acknowledgements are not.
    let held_up = "publishing: blocked";
    scenario
        .broker_is(GatewayRole::Dispatcher(0), held_up, NOTICED)
        .await;
    let page = scenario.metrics(GatewayRole::Ingress).await;
    assert!(page.contains("ringback_broker_blocked 1"), "{page}");
    // Long enough for the last answer that was unknown at the alarm, and to notice attempts that
    // are repeated in a loop.
    let since = |answer: &CallerAnswer| answer.began > blocked;
    eventually("refusals past the deadline", NOTICED, async || {
        let refused = callers.count(|answer| {
            since(answer) && answer.refused() && answer.began - blocked > PUBLISH_DEADLINE + SLACK
        });
        (refused >= CALLERS).then_some(())
    })
    .await;
    let still = Instant::now();
    scenario
        .broker_is(GatewayRole::Ingress, "blocked", NOTICED)
        .await;

    rabbit.clear_memory_alarm().await;
    for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
        scenario.broker_is(role, "connected", NOTICED).await;
    }
    callers.accepted_more(500).await;
    let answers = callers.stop().await;
    let during = answers
        .iter()
        .filter(|answer| since(answer) && answer.began + answer.took < still);
    for answer in during.clone() {
        assert!(answer.refused(), "not refused for certain: {answer:?}");
    }
    let took = nine_of_ten(during);
    assert!(took < AT_ONCE, "not at once: {took:?}");
    let slowest = answers.iter().map(|answer| answer.took).max();
    assert!(slowest <= Some(PUBLISH_DEADLINE + SLACK), "{slowest:?}");

    let audit = scenario.settle(&answers).await;
    println!("memory alarm of {:?}: {audit}", still - blocked);
    // No connection was lost, so nothing was delivered twice.
    assert_eq!(audit.repeats, 0, "{audit}");
}
