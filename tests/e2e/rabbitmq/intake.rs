//! The intake while no dispatcher runs: nothing is known of how late first attempts are.

use std::time::Duration;

use tests::{Callee, Gateway, GatewayOptions, GatewayRole, RabbitMq, callback, eventually};

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn without_a_dispatcher_nobody_is_slowed_down_and_nothing_is_lost() {
    let options = GatewayOptions {
        dispatchers: 0,
        ..GatewayOptions::default()
    };
    let options = options.with_ingress("RINGBACK__INGRESS__TARGET_DELAY", "100ms");
    let callee = Callee::start().await;
    let mut gateway = Gateway::start(RabbitMq::shared().await, options).await;
    let callback = callback(&callee.url("/ok"));
    let mut ids = Vec::new();
    for _ in 0..300 {
        ids.push(gateway.post(&callback).await.accepted());
    }
    gateway.add_dispatcher().await;
    eventually("every callback", SOON, async || {
        let missing = ids
            .iter()
            .filter(|id| callee.requests.for_id(id).is_empty());
        match missing.count() {
            0 => Ok(()),
            missing => Err(format!("{missing} missing")),
        }
    })
    .await;
    let page = gateway.metrics(GatewayRole::Ingress).await;
    let refused = "ringback_intake_slowed_total{result=\"refused\"} 0";
    assert!(page.lines().any(|line| line == refused), "{page}");
}
