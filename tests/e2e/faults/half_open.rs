//! The connection to the broker stalls without being closed.

use std::time::{Duration, Instant};

use tests::callers::{CallerAnswer, Wire, post};
use tests::ledger::Acceptance;
use tests::{FaultProxy, GatewayOptions, GatewayRole, LinkState, RabbitMq, Scenario, eventually};

use super::{AT_ONCE, NOTICED, SLACK, nine_of_ten};

/// The connection runs through this process, whose stalls must not count as silence: limits for a
/// publish and for a heartbeat.
const DEADLINE: Duration = Duration::from_secs(6);
/// The heartbeat ends a silent connection after 12 s at the earliest: sooner, it was the deadline.
const BY_DEADLINE: Duration = Duration::from_secs(9);
/// Two and a half heartbeats, as documented for operators.
const SILENT: Duration = Duration::from_secs(15);
const SENT: usize = 40;

/// The broker's URL through a proxy that can break.
fn url(line: &FaultProxy) -> String {
    format!("amqp://guest:guest@{}/%2f?heartbeat=6", line.address)
}

/// A gateway whose ingress reaches the broker through a proxy that can break.
async fn scenario<'a>(rabbit: &'a RabbitMq, line: &FaultProxy) -> Scenario<'a> {
    let deadline = format!("{}s", DEADLINE.as_secs());
    let options = GatewayOptions::default()
        .with_ingress("RINGBACK__BROKER__URL", &url(line))
        .with_ingress("RINGBACK__BROKER__PUBLISH_TIMEOUT", &deadline);
    Scenario::start(rabbit, options).await
}

fn assert_refused_at_once(answers: &[CallerAnswer]) {
    for answer in answers {
        assert!(answer.refused(), "{answer:?}");
    }
    let took = nine_of_ten(answers);
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_confirm_is_reported_as_unknown() {
    let rabbit = RabbitMq::shared().await;
    let line = FaultProxy::before(rabbit.port()).await;
    let mut scenario = scenario(rabbit, &line).await;
    let mut answers = scenario.callers(&["/ok"], 4, 40).done().await;
    assert!(answers.iter().all(CallerAnswer::accepted));

    line.set(LinkState::BlackHole);
    let silent = scenario.callers(&["/ok"], SENT, SENT.try_into().unwrap());
    let silent = silent.done().await;
    for answer in &silent {
        assert_eq!(answer.status, Some(503), "{answer:?}");
        assert!(
            matches!(answer.acceptance, Acceptance::Unknown(Some(_))),
            "it was written, so that nobody knows: {answer:?}"
        );
        assert!(answer.took <= DEADLINE + SLACK, "{answer:?}");
    }
    let took = nine_of_ten(&silent);
    assert!(took < BY_DEADLINE, "{took:?}");
    answers.extend(silent);
    // From now on the gateway knows, and refuses at once.
    scenario
        .broker_is(GatewayRole::Ingress, "disconnected", NOTICED)
        .await;
    let refused = scenario.callers(&["/ok"], 4, 20).done().await;
    assert_refused_at_once(&refused);
    answers.extend(refused);

    line.set(LinkState::Pass);
    scenario
        .broker_is(GatewayRole::Ingress, "connected", NOTICED)
        .await;
    let healed = scenario.callers(&["/ok"], 4, 40).done().await;
    for answer in &healed {
        assert!(answer.accepted(), "{answer:?}");
    }
    answers.extend(healed);

    line.set(LinkState::Cut);
    scenario
        .broker_is(GatewayRole::Ingress, "disconnected", NOTICED)
        .await;
    let cut = scenario.callers(&["/ok"], 4, 20).done().await;
    assert_refused_at_once(&cut);
    answers.extend(cut);

    let audit = scenario.settle(&answers).await;
    println!("no confirm: {audit}");
    assert_eq!(
        (audit.accepted, audit.refused, audit.unknown),
        (80, 40, SENT)
    );
    // The broker received them all; only its answers were held back.
    assert_eq!((audit.recovered, audit.repeats), (SENT, 0), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_is_detected_without_traffic() {
    let rabbit = RabbitMq::shared().await;
    let line = FaultProxy::before(rabbit.port()).await;
    let options = GatewayOptions::default().with("RINGBACK__BROKER__URL", &url(&line));
    let scenario = Scenario::start(rabbit, options).await;
    let (ingress, dispatcher) = (GatewayRole::Ingress, GatewayRole::Dispatcher(0));
    line.set(LinkState::BlackHole);
    let began = Instant::now();
    for (role, connection) in [
        (ingress, "publish"),
        (dispatcher, "publish"),
        (dispatcher, "consume"),
    ] {
        let series = format!("ringback_broker_up{{connection=\"{connection}\"}} 0");
        eventually(&series, NOTICED, async || {
            let page = scenario.metrics(role).await;
            page.lines().any(|line| line == series).then_some(())
        })
        .await;
    }
    let took = began.elapsed();
    assert!(took < SILENT + SLACK, "{took:?}");
    line.set(LinkState::Pass);
    for role in [ingress, dispatcher] {
        scenario.broker_is(role, "connected", NOTICED).await;
    }
    let mut wire = Wire::to(scenario.ingress.address);
    let first = post(&mut wire, 0, &scenario.callee.url("/ok")).await;
    assert!(first.accepted(), "{first:?}");
}
