//! A graceful stop (SIGTERM) finishes what has begun and repeats nothing.

use std::time::{Duration, Instant};

use tests::callers::{self, CallerAnswer, Wire, next_token, request};
use tests::{BrokerKind, BrokerUnderTest, ExclusiveBroker, GatewayOptions, Scenario, eventually};

const CALLERS: usize = 64;
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_dispatcher_makes_no_attempt_twice() {
    let turn = ExclusiveBroker::take().await;
    let options = GatewayOptions {
        dispatchers: 2,
        ..GatewayOptions::default()
    };
    let mut scenario = Scenario::start(&turn, options).await;
    let paths = ["/ok", "/slow/300", "/ok", "/flaky/1"];
    let callers = scenario.callers(&paths, CALLERS, u64::MAX);
    callers.accepted_more(1_000).await;
    let first = &mut scenario.dispatching_instances()[0].process;
    first.sigterm();
    let ended = first.wait_exit(SOON).await;
    assert_eq!(ended.code(), Some(0), "{ended}\n{}", first.log());
    match BrokerKind::chosen() {
        BrokerKind::RabbitMq => drop(scenario.dispatchers.remove(0)),
        // There is no other process to take over.
        BrokerKind::Embedded => scenario.restart_ingress().await,
    }
    callers.accepted_more(500).await;
    let answers = callers.stop().await;
    let audit = scenario.settle(&answers).await;
    println!("dispatcher stopped: {audit}");
    if BrokerKind::chosen() == BrokerKind::RabbitMq {
        assert_eq!((audit.refused, audit.unknown), (0, 0), "{audit}");
    }
    // Where the ingress stopped as well, an unanswered request was not accepted.
    assert_eq!(audit.recovered, 0, "{audit}");
    assert_eq!(audit.delivered, audit.accepted, "{audit}");
    assert_eq!(audit.repeats, 0, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_ingress_answers_requests_in_progress() {
    const BEGUN: usize = 16;
    let broker = BrokerUnderTest::shared().await;
    // Half-written bodies must not time out while the callers go on, however slow they are.
    let options = GatewayOptions::default();
    let options = options.with_ingress("RINGBACK__INGRESS__BODY_TIMEOUT", "60s");
    let mut scenario = Scenario::start(broker, options).await;
    let callers = scenario.callers(&["/ok"], CALLERS, u64::MAX);
    callers.accepted_more(500).await;
    // Requests that are certainly in progress: half of their body is written.
    let target = scenario.callee.url("/ok");
    let (began, mut begun) = (Instant::now(), Vec::new());
    for _ in 0..BEGUN {
        let token = next_token();
        let body = request(token, &target);
        let mut wire = Wire::to(scenario.ingress.address);
        wire.begin(body.len(), &body.as_bytes()[..20])
            .await
            .unwrap();
        begun.push((token, body, wire));
    }
    // These heads are read before the callers get their next answers.
    callers.accepted_more(CALLERS * 2).await;
    scenario.gateway.ingress.process.sigterm();
    eventually("a closed listener", SOON, async || {
        let connected = tokio::net::TcpStream::connect(scenario.ingress.address).await;
        connected.err().map(drop)
    })
    .await;
    let mut answers = callers.stop().await;
    for (token, body, mut wire) in begun {
        wire.write_rest(&body.as_bytes()[20..]).await.unwrap();
        let (status, answer) = wire.answer().await.unwrap();
        let answer = CallerAnswer {
            token,
            connection: CALLERS,
            began,
            took: began.elapsed(),
            status: Some(status),
            acceptance: callers::acceptance(status, &answer),
        };
        assert!(answer.accepted(), "{answer:?}");
        answers.push(answer);
    }
    let ended = scenario.gateway.ingress.process.wait_exit(SOON).await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    if BrokerKind::chosen() == BrokerKind::Embedded {
        // The one process is the dispatcher too: accepted callbacks wait for it.
        scenario.restart_ingress().await;
    }
    let audit = scenario.settle(&answers).await;
    println!("ingress stopped: {audit}");
    // A connection may be closed just when its caller writes; that request was not accepted.
    assert_eq!((audit.recovered, audit.repeats), (0, 0), "{audit}");
}
