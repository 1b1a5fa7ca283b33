//! Tests of the whole dispatcher, on the embedded broker.

use crate::config::DispatcherConfig;
use crate::limits::pauses::PauseRegistry;
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
        not_before: None,
        scheduled_at: None,
        traceparent: None,
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_more_panics_than_messages_fit_into_memory_everything_is_delivered() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let name = format!("ringback-dispatcher-{}", Uuid::now_v7());
    let directory = std::env::temp_dir().join(name);
    let broker = Broker::open(&EmbeddedOptions {
        min_free_bytes: 0,
        directory: directory.clone(),
        publish_timeout: Duration::from_secs(40),
    });
    let broker = broker.unwrap();
    for _ in 0..COUNT {
        broker.publish(to_broker_message(&message())).await.unwrap();
    }
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
    let registry = MetricsRegistry::new();
    let dependencies = Dependencies {
        broker: broker.clone(),
        registry: Arc::new(CalleeRegistry::new([]).unwrap()),
        guards: Arc::new(Guards::new(
            Guard::new(vec!["127.0.0.0/8".parse().unwrap()]),
            [],
        )),
        metrics: Arc::new(registry.add(DispatcherMetrics::register)),
        journal: None,
        pauses: PauseRegistry::default(),
    };
    let mut dispatcher = Dispatcher::new(&policy, dependencies).unwrap();
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
