//! A queue, an exchange or a binding is deleted while the gateway runs.

use std::time::Duration;

use broker::{Broker, ConnectionState, RabbitMqOptions};
use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use serde_json::json;
use tests::{GatewayOptions, GatewayRole, RabbitMq, Scenario, callback, eventually};

use super::{NOTICED, fault_is, logged, metric};
use crate::fixtures::message;

const DISPATCHER: GatewayRole = GatewayRole::Dispatcher(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_declared_again_and_work_goes_on() {
    let rabbit = RabbitMq::shared().await;
    let mut scenario = Scenario::start(rabbit, GatewayOptions::default()).await;
    let retry = scenario.name("retry");
    let connection = rabbit.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    // Callbacks in the delay queues must arrive nevertheless.
    let mut answers = scenario.callers(&["/flaky/1"], 8, 40).done().await;
    channel
        .queue_delete(retry.as_str().into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    eventually("the queue, with its consumer", NOTICED, async || {
        // A refused passive declare closes its channel.
        let channel = connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions::default().passive();
        let seen = channel
            .queue_declare(retry.as_str().into(), passive, FieldTable::default())
            .await
            .map_err(|error| error.to_string())?;
        match seen.consumer_count() {
            1 => Ok(()),
            count => Err(format!("{count} consumers")),
        }
    })
    .await;
    scenario.broker_is(DISPATCHER, "connected", NOTICED).await;

    answers.extend(scenario.callers(&["/flaky/1"], 8, 40).done().await);
    let audit = scenario.settle(&answers).await;
    println!("queue deleted: {audit}");
    assert_eq!((audit.accepted, audit.delivered), (80, 80), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_delay_level_is_declared_again_with_its_bindings() {
    let rabbit = RabbitMq::shared().await;
    let mut scenario = Scenario::start(rabbit, GatewayOptions::default()).await;
    let mut answers = scenario.callers(&["/ok"], 2, 10).done().await;
    let level = scenario.name("delay.01");
    let connection = rabbit.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .queue_delete(level.as_str().into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    channel
        .exchange_delete(level.as_str().into(), ExchangeDeleteOptions::default())
        .await
        .unwrap();
    let bindings = ["list_bindings", "source_name", "destination_name"];
    // To its own queue, and past it to the level below.
    let below = scenario.name("delay.00");
    eventually("the level and its bindings", NOTICED, async || {
        let shown = rabbit.ctl(&bindings).await;
        let bound = |to: &str| shown.lines().any(|line| line == format!("{level}\t{to}"));
        (bound(&level) && bound(&below)).then_some(()).ok_or(shown)
    })
    .await;
    for role in [GatewayRole::Ingress, DISPATCHER] {
        fault_is(&scenario, role, "missing", false).await;
    }
    answers.extend(scenario.callers(&["/flaky/1"], 4, 20).done().await);
    let audit = scenario.settle(&answers).await;
    println!("a level deleted: {audit}");
    assert_eq!((audit.accepted, audit.delivered), (30, 30), "{audit}");
    for process in [&scenario.ingress.process, &scenario.dispatchers[0].process] {
        let log = process.log();
        assert_eq!(logged(&log, "broker connection down"), 0, "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_binding_is_declared_again_when_a_message_matches_none() {
    let rabbit = RabbitMq::shared().await;
    let mut scenario = Scenario::start(rabbit, GatewayOptions::default()).await;
    let (first, exchange) = (scenario.name("first"), scenario.name("in"));
    let connection = rabbit.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let bound = async || {
        let shown = rabbit
            .ctl(&["list_bindings", "source_name", "destination_name"])
            .await;
        let line = format!("{exchange}\t{first}");
        shown.lines().any(|shown| shown == line)
    };
    // The bindings are declared once after the start; this must come after that.
    tokio::time::sleep(Duration::from_secs(5)).await;
    channel
        .queue_unbind(
            first.as_str().into(),
            exchange.as_str().into(),
            "first".into(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    assert!(!bound().await);
    let answers = scenario.callers(&["/ok"], 2, 10).done().await;
    eventually("the binding", NOTICED, async || bound().await.then_some(())).await;
    let audit = scenario.settle(&answers).await;
    println!("a binding deleted: {audit}");
    assert_eq!((audit.accepted, audit.delivered), (10, 10), "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_finds_no_way_back_does_not_circle() {
    let rabbit = RabbitMq::shared().await;
    let prefix = format!("circle{}", std::process::id());
    let declare = async || {
        let mut settings = RabbitMqOptions::new(&rabbit.uri()).unwrap();
        settings.prefix.clone_from(&prefix);
        let broker = Broker::start(settings).unwrap();
        let connected = |state: &ConnectionState| *state == ConnectionState::Connected;
        broker.publishing().wait_for(connected).await.unwrap();
        broker.close().await;
    };
    declare().await;
    let options = GatewayOptions::default()
        .with("RINGBACK__BROKER__PREFIX", &prefix)
        .with("RINGBACK__BROKER__DECLARE", "false");
    let scenario = Scenario::start(rabbit, options).await;
    let connection = rabbit.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let lowest = format!("{prefix}.delay.00");
    channel
        .queue_delete(lowest.as_str().into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    let lost = message(&scenario.callee.url("/ok"));
    let unrouted = format!("{prefix}.unrouted");
    let body = lost.encode().to_vec();
    rabbit.publish(&unrouted, "", &body).await.unwrap();
    fault_is(&scenario, DISPATCHER, "missing: delay.00", true).await;
    let series = "ringback_unrouted_requeued_total";
    tokio::time::sleep(Duration::from_secs(15)).await;
    let rescued = metric(&scenario, DISPATCHER, series).await;
    println!("rescued {rescued} times");
    // At once, and after 1, 2, 4 and 8 s.
    assert!((1..=6).contains(&rescued), "{rescued}");
    // An operator imports the definitions again.
    declare().await;
    let id = lost.request_id.to_string();
    eventually("the delivery", 2 * NOTICED, async || {
        (scenario.callee.requests.for_id(&id).len() == 1).then_some(())
    })
    .await;
    fault_is(&scenario, DISPATCHER, "missing", false).await;
    let log = scenario.dispatchers[0].process.log();
    assert_eq!(logged(&log, "import the definitions again"), 1, "{log}");
    let later = json!({"delay_seconds": 1});
    let mut callback = callback(&scenario.callee.url("/ok"));
    callback["options"] = later;
    assert_eq!(scenario.post(&callback).await.status, 200);
}
