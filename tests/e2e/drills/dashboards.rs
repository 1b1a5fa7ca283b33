//! The dashboards that are shipped: each of their queries has data on a gateway at work.

use std::path::Path;

use serde_json::json;
use tests::{GatewayRole, MetricsRecording, eventually, on_shared_runtime};

use super::{SOON, is_rabbitmq, of_app, start_with};

const DASHBOARDS: &str = "../deploy/monitoring/grafana/provisioning/dashboards";

/// No callee here has a certificate: the drill of the expired one sees it.
const OF_CERTIFICATES: &str = "ringback_certificate_expiry_timestamp_seconds";

/// What only the embedded store knows.
const OF_EMBEDDED: [&str; 3] = [
    "ringback_free_disk_bytes",
    "ringback_oldest_due_age_seconds",
    "ringback_stored_bytes",
];

/// What there is with RabbitMQ alone: several processes, confirms and consumers of a network, canaries.
const OF_RABBITMQ: [&str; 8] = [
    "ringback_canary_round_trip_seconds",
    "ringback_canary_unanswered_seconds",
    "ringback_clock_spread_seconds",
    "ringback_consumer_silent_total",
    "ringback_publish_late_confirms_total",
    "ringback_publish_nacks_total",
    "ringback_publish_overdue_total",
    "ringback_queue_consumers",
];

#[test]
fn every_query_of_the_dashboards_has_data_on_a_gateway_at_work() {
    on_shared_runtime(async {
        let fixture = start_with(&[
            ("RINGBACK__RETRY__SCHEDULE", "1s,1h"),
            ("RINGBACK__INGRESS__CANARY", "true"),
        ])
        .await;
        let fixture = fixture.in_test();
        let gateway = &fixture.gateway;
        let mut later = of_app("shop", &fixture.callee.url("/ok"));
        later["options"] = json!({ "delay_seconds": 3_600 });
        let bodies = [
            of_app("shop", &fixture.callee.url("/ok")),
            of_app("crm", &fixture.callee.url("/flaky/1")),
            of_app("crm", &fixture.callee.url("/status/503")),
            of_app("crm", &fixture.callee.url("/status/400")),
            later,
        ];
        let all = async || {
            for body in &bodies {
                gateway.post(body).await.accepted();
            }
        };
        // A rate needs series that were there before.
        all().await;
        eventually("series of targets", SOON, async || {
            let page = gateway.metrics(GatewayRole::Dispatcher(0)).await;
            let failed = page.lines().any(|line| {
                line.starts_with("ringback_target_attempts_total{target=\"http")
                    && line.contains("result=\"failure\"")
                    && !line.ends_with(" 0")
            });
            failed.then_some(()).ok_or(page)
        })
        .await;
        let recording = MetricsRecording::begin(gateway).await;
        // The journal is counted, the busiest are chosen and canaries come back every few seconds.
        let what = "queries without data";
        eventually(what, SOON, async || {
            // How old what was received was, is known for half a minute.
            all().await;
            let found = recording
                .dashboard_queries_without_data(Path::new(DASHBOARDS))
                .await;
            let Some(without) = found else {
                return Ok(());
            };
            let elsewhere = match is_rabbitmq() {
                true => &OF_EMBEDDED[..],
                false => &OF_RABBITMQ[..],
            };
            let elsewhere = || elsewhere.iter().chain([&OF_CERTIFICATES]);
            let is_elsewhere = |query: &String| elsewhere().any(|name| query.contains(name));
            let missing: Vec<_> = without
                .iter()
                .filter(|query| !is_elsewhere(query))
                .collect();
            match missing.is_empty() {
                true => Ok(()),
                false => Err(format!("{missing:#?}")),
            }
        })
        .await;
    });
}
