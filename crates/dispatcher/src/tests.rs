//! Tests of the whole dispatcher, on the embedded broker.

use crate::config::DispatcherConfig;
use crate::limits::pauses::{PauseKey, PauseRegistry, Switch};
use crate::metrics::DispatcherMetrics;
use crate::policy::delivery_policy::PolicyConfig;
use crate::to_broker_message;
use crate::worker::{Dependencies, Dispatcher};
use broker::{Broker, EmbeddedOptions};
use bytes::Bytes;
use contract::{Message, Options, UnknownFields};
use delivery::limits::LimitsConfig;
use delivery::retry::RetryConfig;
use delivery::{CalleeRegistry, Guard, Guards, Outcome};
use runtime::MetricsRegistry;
use runtime::clock::now_ms;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// More than all the messages that a dispatcher of the smallest concurrency has in memory.
const COUNT: usize = 30;

pub(crate) fn message() -> Message {
    Message {
        request_id: Uuid::now_v7(),
        app_id: "app".to_owned(),
        caller_no: None,
        callee_no: None,
        message_type: "type".to_owned(),
        callback_url: Some("http://127.0.0.1:9/".to_owned()),
        options: Options::default(),
        accepted_at: now_ms(),
        generation: 0,
        attempt: 1,
        deferrals: 0,
        hold: 0,
        not_before: None,
        scheduled_at: None,
        traceparent: None,
        tracestate: None,
        reply_to: None,
        history: Vec::new(),
        unknown: UnknownFields::default(),
        request_message: Bytes::from_static(b"{}"),
    }
}

/// In place of the call: panics at the first time, and answers 200 at the second.
fn panic_once(message: &Message) -> Outcome {
    assert!(message.deferrals > 0, "an attempt panics");
    assert_eq!(message.attempt, 1, "no attempt was spent");
    Outcome::Answered {
        status: 200,
        retry_after: None,
    }
}

fn value(registry: &MetricsRegistry, series: &str) -> usize {
    let page = registry.encode();
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().unwrap())
}

/// The sum of all series that begin so.
fn sum(registry: &MetricsRegistry, begin: &str) -> usize {
    let page = registry.encode();
    let series = page.lines().filter(|line| line.starts_with(begin));
    let values = series.filter_map(|line| line.rsplit_once(' '));
    values
        .map(|(_, value)| value.parse::<usize>().unwrap())
        .sum()
}

/// A dispatcher of the smallest concurrency, on a broker in a new directory.
struct Fixture {
    broker: Broker,
    dispatcher: Dispatcher,
    pauses: PauseRegistry,
    registry: MetricsRegistry,
    directory: PathBuf,
}

fn fixture() -> Fixture {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let name = format!("ringback-dispatcher-{}", Uuid::now_v7());
    let directory = std::env::temp_dir().join(name);
    let broker = Broker::open(&EmbeddedOptions {
        min_free_bytes: 0,
        directory: directory.clone(),
        publish_timeout: Duration::from_secs(40),
    });
    let broker = broker.unwrap();
    let config = DispatcherConfig {
        first_concurrency: 1,
        retry_concurrency: 1,
        dns_servers: vec![([127, 0, 0, 1], 9).into()],
        ..DispatcherConfig::default()
    };
    let (retry, callees) = (RetryConfig::default(), BTreeMap::new());
    let limits = LimitsConfig {
        in_flight: Some(100),
        ..LimitsConfig::default()
    };
    let policy = PolicyConfig {
        dispatcher: &config,
        retry: &retry,
        limits: &limits,
        callees: &callees,
        app_signing_secrets: BTreeMap::new(),
        app_in_flight: BTreeMap::new(),
    };
    let (registry, pauses) = (MetricsRegistry::new(), PauseRegistry::default());
    let dependencies = Dependencies {
        broker: broker.clone(),
        registry: Arc::new(CalleeRegistry::new([]).unwrap()),
        guards: Arc::new(Guards::new(
            Guard::new(vec!["127.0.0.0/8".parse().unwrap()]),
            [],
        )),
        metrics: Arc::new(registry.add(DispatcherMetrics::register)),
        journal: None,
        pauses: pauses.clone(),
        tracer: None,
    };
    let dispatcher = Dispatcher::new(&policy, dependencies).unwrap();
    Fixture {
        broker,
        dispatcher,
        pauses,
        registry,
        directory,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_more_panics_than_messages_fit_into_memory_everything_is_delivered() {
    let Fixture {
        broker,
        mut dispatcher,
        registry,
        directory,
        ..
    } = fixture();
    for _ in 0..COUNT {
        broker.publish(to_broker_message(&message())).await.unwrap();
    }
    dispatcher.replace_calls(panic_once);
    let stop = CancellationToken::new();
    let running = tokio::spawn(dispatcher.run(stop.clone()));
    let begun = Instant::now();
    let delivered = "ringback_delivery_latency_seconds_count";
    while value(&registry, delivered) < COUNT {
        let page = registry.encode();
        assert!(begun.elapsed() < Duration::from_secs(90), "{page}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(value(&registry, "ringback_attempt_panics_total"), COUNT);
    let deferrals = "ringback_deferrals_total{reason=\"panic\"}";
    assert_eq!(value(&registry, deferrals), COUNT);
    let in_flight = "ringback_attempts_in_flight{queue=\"first\"}";
    stop.cancel();
    running.await.unwrap();
    assert_eq!(value(&registry, in_flight), 0);
    let _ = std::fs::remove_dir_all(directory);
}

/// In place of the call: answers 200.
fn accept(_: &Message) -> Outcome {
    Outcome::Answered {
        status: 200,
        retry_after: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_deliveries_are_stopped_everything_stays_in_its_queue() {
    let Fixture {
        broker,
        mut dispatcher,
        pauses,
        registry,
        directory,
    } = fixture();
    dispatcher.replace_calls(accept);
    let stop = CancellationToken::new();
    let running = tokio::spawn(dispatcher.run(stop.clone()));
    let wait = async |what: &str, condition: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !condition() {
            let page = registry.encode();
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {page}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let delivered = || value(&registry, "ringback_delivery_latency_seconds_count");
    let switch = PauseKey::Switch(Switch::Deliveries);
    for round in 1..=2 {
        let stopped = pauses.pause(&switch, "ann".to_owned(), "quiet".to_owned());
        assert!(stopped.await.unwrap());
        for _ in 0..COUNT {
            broker.publish(to_broker_message(&message())).await.unwrap();
        }
        // Not even read ahead.
        let ready = || broker.depths().borrow().first.current() == Some(30);
        wait("all are ready", &ready).await;
        assert_eq!(delivered(), (round - 1) * COUNT);
        assert!(pauses.resume(&switch).await.unwrap().is_some());
        wait("all are delivered", &|| delivered() == round * COUNT).await;
    }
    assert_eq!(sum(&registry, "ringback_deferrals_total{"), 0);
    stop.cancel();
    running.await.unwrap();
    let _ = std::fs::remove_dir_all(directory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_apps_callback_to_no_target_spends_no_attempt() {
    let Fixture {
        broker,
        mut dispatcher,
        pauses,
        registry,
        directory,
    } = fixture();
    dispatcher.replace_calls(accept);
    let app = PauseKey::App("app".into());
    let paused = pauses.pause(&app, "ann".to_owned(), "quiet".to_owned());
    assert!(paused.await.unwrap());
    let nowhere = Message {
        callback_url: None,
        callee_no: Some("GONE".to_owned()),
        ..message()
    };
    broker.publish(to_broker_message(&nowhere)).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(dispatcher.run(stop.clone()));
    let begun = Instant::now();
    while value(&registry, "ringback_deferrals_total{reason=\"paused\"}") == 0 {
        let page = registry.encode();
        assert!(begun.elapsed() < Duration::from_secs(60), "{page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(sum(&registry, "ringback_attempts_total{"), 0);
    stop.cancel();
    running.await.unwrap();
    let _ = std::fs::remove_dir_all(directory);
}
