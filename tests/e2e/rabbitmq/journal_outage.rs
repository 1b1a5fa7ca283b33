//! Nothing is forgotten while PostgreSQL is away. The embedded journal cannot be away alone.

use std::time::Duration;

use tests::{BrokerKind, GatewayOptions, Postgres, RabbitMq, Scenario, eventually};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_are_delivered_while_postgresql_is_away_and_recorded_afterwards() {
    BrokerKind::must_be_rabbitmq();
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    let options = GatewayOptions::default().with("RINGBACK__JOURNAL__URL", &url);
    let scenario = Scenario::start(RabbitMq::shared().await, options).await;
    let callers = scenario.callers(&["/ok", "/flaky/1"], 8, u64::MAX);
    callers.accepted_more(200).await;
    postgres.kill().await;
    callers.accepted_more(400).await;
    // Callbacks accepted now are delivered now.
    let during = callers.stop().await;
    scenario.all_delivered(&during).await;
    let known = crate::delivery::recording::accepted(&during);
    assert_eq!(known.len(), during.len(), "none was refused");
    // None of them is denied.
    for id in known.iter().rev().take(20) {
        let answered = scenario.query(id).await;
        assert_eq!(answered.status, 503, "{answered:?}");
        assert_eq!(answered.request_id().as_ref(), Some(id));
        assert!(answered.headers.contains_key("retry-after"));
    }
    postgres.restart().await;
    let reports = crate::delivery::recording::all_ended(&scenario, &during).await;
    let differing = crate::delivery::recording::differences(&scenario, &reports);
    assert!(differing.is_empty(), "{}: {differing:?}", differing.len());
    eventually("an empty way into the journal", SOON, async || {
        let depths = scenario.depths().await?;
        let left = depths.get("journal").copied().unwrap_or(0);
        (left == 0).then_some(()).ok_or(format!("{left} left"))
    })
    .await;
}
