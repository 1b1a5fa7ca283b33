//! What does SIGTERM do to a process at work? It finishes what it has begun, and nothing twice.

use std::time::{Duration, Instant};

use tests::callers::{Answer, Wire, next_token, request, told};
use tests::{GatewayOptions, Ground, Kind, Scene, Turn, eventually};

const CALLERS: usize = 64;
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_dispatcher_makes_no_attempt_twice() {
    let turn = Turn::take().await;
    let options = GatewayOptions {
        dispatchers: 2,
        ..GatewayOptions::default()
    };
    let mut scene = Scene::start(&turn, options).await;
    let paths = ["/ok", "/slow/300", "/ok", "/flaky/1"];
    let callers = scene.callers(&paths, CALLERS, u64::MAX);
    callers.accepted_more(1_000).await;
    let first = &mut scene.doors_out()[0].process;
    first.sigterm();
    let ended = first.wait_exit(SOON).await;
    assert_eq!(ended.code(), Some(0), "{ended}\n{}", first.log());
    match Kind::chosen() {
        Kind::RabbitMq => drop(scene.dispatchers.remove(0)),
        // Nobody else does its work.
        Kind::Embedded => scene.restart_ingress().await,
    }
    callers.accepted_more(500).await;
    let answers = callers.stop().await;
    let audit = scene.settle(&answers).await;
    println!("dispatcher stopped: {audit}");
    if Kind::chosen() == Kind::RabbitMq {
        assert_eq!((audit.refused, audit.unknown), (0, 0), "{audit}");
    }
    // Where the door in was closed as well: what it did not answer, it did not let in.
    assert_eq!(audit.recovered, 0, "{audit}");
    assert_eq!(audit.delivered, audit.accepted, "{audit}");
    assert_eq!(audit.repeats, 0, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_ingress_answers_what_it_has_begun() {
    const BEGUN: usize = 16;
    let ground = Ground::shared().await;
    // Bodies that lie half written while the callers go on, however slowly, are not cut off.
    let options = GatewayOptions::default();
    let options = options.with_ingress("RINGBACK__INGRESS__BODY_TIMEOUT", "60s");
    let mut scene = Scene::start(ground, options).await;
    let callers = scene.callers(&["/ok"], CALLERS, u64::MAX);
    callers.accepted_more(500).await;
    // Requests that are surely under way: their bodies are written by half.
    let target = scene.callee.url("/ok");
    let (began, mut begun) = (Instant::now(), Vec::new());
    for _ in 0..BEGUN {
        let token = next_token();
        let body = request(token, &target);
        let mut wire = Wire::to(scene.ingress.address);
        wire.begin(body.len(), &body.as_bytes()[..20])
            .await
            .unwrap();
        begun.push((token, body, wire));
    }
    // The callers' next answers come after these heads were read.
    callers.accepted_more(CALLERS * 2).await;
    scene.gateway.ingress.process.sigterm();
    eventually("a closed door", SOON, async || {
        let connected = tokio::net::TcpStream::connect(scene.ingress.address).await;
        connected.err().map(drop)
    })
    .await;
    let mut answers = callers.stop().await;
    for (token, body, mut wire) in begun {
        wire.go_on(&body.as_bytes()[20..]).await.unwrap();
        let (status, answer) = wire.answer().await.unwrap();
        let answer = Answer {
            token,
            connection: CALLERS,
            began,
            took: began.elapsed(),
            status: Some(status),
            told: told(status, &answer),
        };
        assert!(answer.accepted(), "{answer:?}");
        answers.push(answer);
    }
    let ended = scene.gateway.ingress.process.wait_exit(SOON).await;
    assert_eq!(ended.code(), Some(0), "{ended}");
    if Kind::chosen() == Kind::Embedded {
        // The door out was the same process: what was let in waits.
        scene.restart_ingress().await;
    }
    let audit = scene.settle(&answers).await;
    println!("ingress stopped: {audit}");
    // A connection may be closed just when its caller writes; what was on it was not accepted.
    assert_eq!((audit.recovered, audit.repeats), (0, 0), "{audit}");
}
