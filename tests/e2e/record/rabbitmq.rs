//! Is nothing forgotten while PostgreSQL is away? The embedded store's journal cannot be away alone.

use std::time::Duration;

use tests::{GatewayOptions, Kind, Postgres, Rabbit, Scene, eventually};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_flow_while_postgresql_is_away_and_are_all_known_afterwards() {
    Kind::must_be_rabbitmq();
    let postgres = Postgres::start().await;
    let url = postgres.database().await;
    let options = GatewayOptions::default().with("RINGBACK__JOURNAL__URL", &url);
    let scene = Scene::start(Rabbit::shared().await, options).await;
    let callers = scene.callers(&["/ok", "/flaky/1"], 8, u64::MAX);
    callers.accepted_more(200).await;
    postgres.kill().await;
    callers.accepted_more(400).await;
    // What is accepted now is delivered now.
    let during = callers.stop().await;
    scene.all_delivered(&during).await;
    let known = super::accepted(&during);
    assert_eq!(known.len(), during.len(), "none was refused");
    // And none is denied.
    for id in known.iter().rev().take(20) {
        let answered = scene.query(id).await;
        assert_eq!(answered.status, 503, "{answered:?}");
        assert_eq!(answered.request_id().as_ref(), Some(id));
        assert!(answered.headers.contains_key("retry-after"));
    }
    postgres.restart().await;
    let told = super::all_ended(&scene, &during).await;
    let differing = super::differences(&scene, &told);
    assert!(differing.is_empty(), "{}: {differing:?}", differing.len());
    eventually("an empty way into the journal", SOON, async || {
        let depths = scene.depths().await?;
        let left = depths.get("journal").copied().unwrap_or(0);
        (left == 0).then_some(()).ok_or(format!("{left} left"))
    })
    .await;
}
