//! The line to the broker falls silent without being cut: nobody is told, so somebody must notice.

use std::time::{Duration, Instant};

use tests::callers::{Answer, Wire, ask};
use tests::ledger::Told;
use tests::{Cut, GatewayOptions, Line, Rabbit, Role, Scene, eventually};

use super::{AT_ONCE, NOTICED, SLACK, nine_of_ten};

/// The line runs through this process, and its stalls must not pass for silence: so much for a
/// publish and for a heartbeat.
const DEADLINE: Duration = Duration::from_secs(6);
/// The heartbeat gives a silent line up after 12 s at the earliest: it was the deadline, if sooner.
const BY_DEADLINE: Duration = Duration::from_secs(9);
/// Two and a half heartbeats, which operators are told of.
const SILENT: Duration = Duration::from_secs(15);
const SENT: usize = 40;

/// Where the broker is over a line that can be broken.
fn url(line: &Cut) -> String {
    format!("amqp://guest:guest@{}/%2f?heartbeat=6", line.address)
}

/// A gateway whose ingress reaches the broker over a line that can be broken.
async fn scene<'a>(rabbit: &'a Rabbit, line: &Cut) -> Scene<'a> {
    let deadline = format!("{}s", DEADLINE.as_secs());
    let options = GatewayOptions::default()
        .with_ingress("RINGBACK__BROKER__URL", &url(line))
        .with_ingress("RINGBACK__BROKER__PUBLISH_TIMEOUT", &deadline);
    Scene::start(rabbit, options).await
}

fn assert_refused_at_once(answers: &[Answer]) {
    for answer in answers {
        assert!(answer.refused(), "{answer:?}");
    }
    let took = nine_of_ten(answers);
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirm_that_never_comes_leaves_it_open_and_says_so() {
    let rabbit = Rabbit::shared().await;
    let line = Cut::before(rabbit.port()).await;
    let mut scene = scene(rabbit, &line).await;
    let mut answers = scene.callers(&["/ok"], 4, 40).done().await;
    assert!(answers.iter().all(Answer::accepted));

    line.set(Line::BlackHole);
    let silent = scene.callers(&["/ok"], SENT, SENT.try_into().unwrap());
    let silent = silent.done().await;
    for answer in &silent {
        assert_eq!(answer.status, Some(503), "{answer:?}");
        assert!(
            matches!(answer.told, Told::Unknown(Some(_))),
            "it was written, so that nobody knows: {answer:?}"
        );
        assert!(answer.took <= DEADLINE + SLACK, "{answer:?}");
    }
    let took = nine_of_ten(&silent);
    assert!(took < BY_DEADLINE, "{took:?}");
    answers.extend(silent);
    // From now on the gateway knows, and refuses at once.
    scene
        .broker_is(Role::Ingress, "disconnected", NOTICED)
        .await;
    let refused = scene.callers(&["/ok"], 4, 20).done().await;
    assert_refused_at_once(&refused);
    answers.extend(refused);

    line.set(Line::Pass);
    scene.broker_is(Role::Ingress, "connected", NOTICED).await;
    let healed = scene.callers(&["/ok"], 4, 40).done().await;
    for answer in &healed {
        assert!(answer.accepted(), "{answer:?}");
    }
    answers.extend(healed);

    line.set(Line::Cut);
    scene
        .broker_is(Role::Ingress, "disconnected", NOTICED)
        .await;
    let cut = scene.callers(&["/ok"], 4, 20).done().await;
    assert_refused_at_once(&cut);
    answers.extend(cut);

    let audit = scene.settle(&answers).await;
    println!("no confirm: {audit}");
    assert_eq!(
        (audit.accepted, audit.refused, audit.unknown),
        (80, 40, SENT)
    );
    // The broker had heard them all; only its answers were held back.
    assert_eq!((audit.recovered, audit.repeats), (SENT, 0), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_line_is_noticed_without_any_traffic() {
    let rabbit = Rabbit::shared().await;
    let line = Cut::before(rabbit.port()).await;
    let options = GatewayOptions::default().with("RINGBACK__BROKER__URL", &url(&line));
    let scene = Scene::start(rabbit, options).await;
    let (ingress, dispatcher) = (Role::Ingress, Role::Dispatcher(0));
    line.set(Line::BlackHole);
    let began = Instant::now();
    for (role, connection) in [
        (ingress, "publish"),
        (dispatcher, "publish"),
        (dispatcher, "consume"),
    ] {
        let series = format!("ringback_broker_up{{connection=\"{connection}\"}} 0");
        eventually(&series, NOTICED, async || {
            let page = scene.metrics(role).await;
            page.lines().any(|line| line == series).then_some(())
        })
        .await;
    }
    let took = began.elapsed();
    assert!(took < SILENT + SLACK, "{took:?}");
    line.set(Line::Pass);
    for role in [ingress, dispatcher] {
        scene.broker_is(role, "connected", NOTICED).await;
    }
    let mut wire = Wire::to(scene.ingress.address);
    let first = ask(&mut wire, 0, &scene.callee.url("/ok")).await;
    assert!(first.accepted(), "{first:?}");
}
