//! A pooled connection is not used once a reload has removed its address.

use std::fs;
use std::time::Duration;

use tests::cleanup::TempDirectory;
use tests::{
    Dns, DnsAnswer, GatewayOptions, GatewayRole, ScriptedReply, SharedGateway, TestTarget,
    callback, eventually,
};

const SOON: Duration = Duration::from_secs(60);

/// Settings that allow these addresses.
fn open(entries: &str) -> String {
    format!("[guard]\nallow = [{entries}]\n")
}

#[tokio::test]
async fn a_pooled_connection_is_not_used_once_its_address_is_closed() {
    let temp = TempDirectory::new("narrowed");
    let file = temp.path().join("settings.toml");
    fs::write(&file, open("\"127.0.0.1/32\"")).unwrap();
    let dns = Dns::start().await;
    dns.set(
        "pooled.ringback.test",
        DnsAnswer::Addresses(vec!["127.0.0.1".parse().unwrap()]),
    );
    let mut fixture = SharedGateway::start(|_| {
        let options = GatewayOptions::default()
            .with("RINGBACK_CONFIG", &file.display().to_string())
            .with(
                "RINGBACK__DISPATCHER__DNS_SERVERS",
                &dns.address().to_string(),
            );
        // A variable would override the file.
        options.without("RINGBACK__GUARD__ALLOW")
    })
    .await;
    let target = TestTarget::http(ScriptedReply::status(200));
    let url = target.url().replace("127.0.0.1", "pooled.ringback.test");
    for count in 1..=3 {
        fixture.send(&callback(&url)).await;
        eventually("the callback at its target", SOON, async || {
            (target.requests().len() == count).then_some(())
        })
        .await;
        let delivered = "ringback_attempts_total{outcome=\"delivered\",queue=\"first\"}";
        eventually("its answer", SOON, async || {
            (fixture.metric(GatewayRole::Dispatcher(0), delivered).await == count as u64)
                .then_some(())
        })
        .await;
    }
    assert_eq!(target.connections(), 1, "it is kept");

    fs::write(&file, open("\"127.0.0.9/32\"")).unwrap();
    for instance in fixture.gateway.dispatching_instances() {
        instance.process.sighup();
    }
    let series = "ringback_config_reloads_total{result=\"success\"}";
    eventually("the reload", SOON, async || {
        (fixture.metric(GatewayRole::Dispatcher(0), series).await >= 1).then_some(())
    })
    .await;
    let id = fixture.send(&callback(&url)).await;
    let letter = fixture.dead_letter(&id).await;
    assert_eq!(letter.outcomes(), ["address_refused"]);
    assert_eq!(target.requests().len(), 3);
    assert_eq!(target.connections(), 1);
}
