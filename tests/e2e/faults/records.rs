//! Records cannot be published or stored: callbacks go on, and nothing that is answered about them
//! later is untrue.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tests::callers::CallerAnswer;
use tests::cleanup::TempDirectory;
use tests::{
    ExclusiveRabbitMq, GatewayOptions, GatewayRole, Postgres, RabbitMq, Scenario, eventually,
};

use super::NOTICED;
use crate::delivery::recording::{accepted, all_ended, differences};

/// Callbacks of a test.
const CALLBACKS: u64 = 300;

/// Shorter than the faults here, so that several publishes of records run into it.
const PUBLISH_TIMEOUT: &str = "2s";

/// A gateway with a journal, whose processes spool into this directory.
fn spooling(directory: &TempDirectory) -> GatewayOptions {
    let path = directory.path().join("spool").display().to_string();
    GatewayOptions::default()
        .with_journal()
        .with("RINGBACK__JOURNAL__SPOOL_DIR", &path)
}

/// The value of a metric without labels.
async fn figure(scenario: &Scenario<'_>, role: GatewayRole, name: &str) -> u64 {
    let page = scenario.metrics(role).await;
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|value| value.trim().parse().ok());
    assert!(value.is_some(), "no {name} in {page}");
    value.unwrap_or_default()
}

/// Waits until the process has spooled so many records.
async fn has_spooled(scenario: &Scenario<'_>, role: GatewayRole, records: u64) {
    let what = format!("{records} records in the spool of {role:?}");
    eventually(&what, NOTICED, async || {
        let spooled = figure(scenario, role, "ringback_journal_spooled_records ").await;
        let buffered = figure(scenario, role, "ringback_journal_buffered_records ").await;
        (spooled == records)
            .then_some(())
            .ok_or(format!("{spooled}, {buffered} in memory"))
    })
    .await;
}

/// How many callbacks have each status, once all have ended as the target says.
async fn statuses(scenario: &Scenario<'_>, answers: &[CallerAnswer]) -> BTreeMap<String, usize> {
    let reports = all_ended(scenario, answers).await;
    let differing = differences(scenario, &reports);
    assert!(differing.is_empty(), "{}: {differing:?}", differing.len());
    let mut count = BTreeMap::<String, usize>::new();
    for body in reports.values() {
        let status = body["status"].as_str().unwrap();
        *count.entry(status.to_owned()).or_default() += 1;
    }
    count
}

fn counted<const N: usize>(expected: [(&str, u64); N]) -> BTreeMap<String, usize> {
    let expected = expected.into_iter();
    expected
        .map(|(status, count)| (status.to_owned(), usize::try_from(count).unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_dispatcher_has_delivered_during_an_alarm_is_known_as_delivered() {
    let rabbit = ExclusiveRabbitMq::take().await;
    let directory = TempDirectory::new("spool");
    let options = GatewayOptions {
        dispatchers: 0,
        ..spooling(&directory)
    };
    let mut scenario = Scenario::start(&rabbit, options).await;
    let answers = scenario.callers(&["/ok"], 8, CALLBACKS).done().await;
    assert_eq!(accepted(&answers).len() as u64, CALLBACKS);
    has_spooled(&scenario, GatewayRole::Ingress, 0).await;

    rabbit.raise_memory_alarm().await;
    scenario.add_dispatcher().await;
    scenario.all_delivered(&answers).await;
    // The end of each is known to the dispatcher alone.
    let dispatcher = GatewayRole::Dispatcher(0);
    has_spooled(&scenario, dispatcher, CALLBACKS).await;
    let (_, page) = scenario.get_details(dispatcher, "/readyz").await;
    assert!(page.contains("publishing records: blocked"), "{page}");
    eventually("all acknowledged", NOTICED, async || {
        let first = scenario.queue_depth("first").await;
        (first == 0).then_some(()).ok_or(first.to_string())
    })
    .await;
    scenario.dispatchers[0].process.kill9();
    rabbit.clear_memory_alarm().await;
    scenario.restart_dispatcher(0).await;

    let statuses = statuses(&scenario, &answers).await;
    assert_eq!(statuses, counted([("delivered", CALLBACKS)]));
    has_spooled(&scenario, dispatcher, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_while_the_journal_queue_was_away_is_known_after_all_were_killed() {
    let rabbit = RabbitMq::shared().await;
    let directory = TempDirectory::new("spool");
    let options = spooling(&directory).with("RINGBACK__BROKER__PUBLISH_TIMEOUT", PUBLISH_TIMEOUT);
    let mut scenario = Scenario::start(rabbit, options).await;
    let journal = scenario.name("journal");
    rabbit.stop_quorum_queue(&journal).await;

    // A third of them are dead letters.
    let paths = ["/ok", "/status/410", "/ok"];
    let answers = scenario.callers(&paths, 8, CALLBACKS).done().await;
    assert_eq!(
        accepted(&answers).len() as u64,
        CALLBACKS,
        "none is refused"
    );
    for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
        has_spooled(&scenario, role, CALLBACKS).await;
    }
    scenario.ingress.process.kill9();
    scenario.dispatchers[0].process.kill9();
    rabbit.restart_quorum_queue(&journal).await;
    scenario.restart_ingress().await;
    scenario.restart_dispatcher(0).await;

    let statuses = statuses(&scenario, &answers).await;
    let dead = CALLBACKS / 3;
    let expected = [("dead", dead), ("delivered", CALLBACKS - dead)];
    assert_eq!(statuses, counted(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_queue_that_is_away_refuses_no_callback_and_holds_up_no_attempt() {
    let rabbit = RabbitMq::shared().await;
    let options = GatewayOptions::default()
        .with_journal()
        .with("RINGBACK__BROKER__PUBLISH_TIMEOUT", PUBLISH_TIMEOUT);
    let mut scenario = Scenario::start(rabbit, options).await;
    let journal = scenario.name("journal");
    rabbit.stop_quorum_queue(&journal).await;
    let callers = scenario.callers(&["/ok", "/flaky/1"], 4, u64::MAX);
    // Several publish timeouts.
    let away = Instant::now();
    while away.elapsed() < Duration::from_secs(12) {
        callers.accepted_more(20).await;
    }
    let answers = callers.stop().await;
    let refused: Vec<_> = answers.iter().filter(|answer| !answer.accepted()).collect();
    assert!(refused.is_empty(), "{}: {refused:?}", refused.len());
    scenario.all_delivered(&answers).await;
    for role in [GatewayRole::Ingress, GatewayRole::Dispatcher(0)] {
        let page = scenario.metrics(role).await;
        let up = "ringback_broker_up{connection=\"publish\"} 1";
        assert!(page.contains(up), "{page}");
    }
    rabbit.restart_quorum_queue(&journal).await;
    let audit = scenario.settle(&answers).await;
    println!("journal queue away: {audit}");
    assert_eq!(audit.repeats, 0, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_timeout_of_records_ends_no_attempt() {
    let (rabbit, postgres) = (RabbitMq::start().await, Postgres::start().await);
    rabbit.set_consumer_timeout(Duration::from_secs(10)).await;
    let url = postgres.database().await;
    let options = GatewayOptions::default().with("RINGBACK__JOURNAL__URL", &url);
    let mut scenario = Scenario::start(&rabbit, options).await;
    let mut answers = scenario.callers(&["/ok"], 4, 20).done().await;
    scenario.all_delivered(&answers).await;

    postgres.kill().await;
    let ended = |scenario: &Scenario<'_>, what: &str, of: &str| {
        let log = scenario.dispatchers[0].process.log();
        let ended = log.lines();
        ended
            .filter(|line| line.contains(what) && line.contains(of))
            .count()
    };
    let consumer = "the broker closed a consumer's channel";
    // Attempts are in flight all the time, but none waits for its turn.
    eventually("a consumer timeout", NOTICED, async || {
        let more = scenario.callers(&["/slow/1500"], 4, 8).done().await;
        scenario.all_delivered(&more).await;
        answers.extend(more);
        (ended(&scenario, consumer, "\"queue\":\"journal\"") > 0).then_some(())
    })
    .await;
    for queue in ["first", "retry"] {
        let of = format!("\"queue\":\"{queue}\"");
        assert_eq!(ended(&scenario, "consumer", &of), 0, "{queue}");
    }
    // That of the records may be lost, when a batch is given back on the closed channel.
    for connection in ["publish", "consume", "publish_records"] {
        let of = format!("\"connection\":\"{connection}\"");
        assert_eq!(
            ended(&scenario, "broker connection down", &of),
            0,
            "{connection}"
        );
    }
    postgres.restart().await;
    let audit = scenario.settle(&answers).await;
    println!("consumer timeout of records: {audit}");
    assert_eq!(audit.repeats, 0, "{audit}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_cannot_be_stored_are_given_back_to_their_queue() {
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    let options = GatewayOptions::default().with("RINGBACK__JOURNAL__URL", &url);
    let scenario = Scenario::start(RabbitMq::shared().await, options).await;
    let before = scenario.callers(&["/ok"], 4, 4).done().await;
    all_ended(&scenario, &before).await; // The writer works.
    postgres.kill().await;
    let answers = scenario.callers(&["/ok"], 4, 40).done().await;
    scenario.all_delivered(&answers).await;
    // None is held any more: all of them count as waiting, and stay there.
    let journal = scenario.name("journal");
    let rabbit = RabbitMq::shared().await;
    eventually("the batches in the queue", NOTICED, async || {
        let (waiting, held) = (
            scenario.queue_depth("journal").await,
            rabbit.unsettled(&journal).await,
        );
        let given_back = waiting > 0 && held == 0;
        given_back
            .then_some(())
            .ok_or(format!("{waiting} wait, {held} are held"))
    })
    .await;
    postgres.restart().await;
    let reports = all_ended(&scenario, &[before, answers].concat()).await;
    assert_eq!(differences(&scenario, &reports), [""; 0]);
    eventually("an empty journal queue", NOTICED, async || {
        let left = scenario.queue_depth("journal").await;
        (left == 0).then_some(()).ok_or(left.to_string())
    })
    .await;
}
