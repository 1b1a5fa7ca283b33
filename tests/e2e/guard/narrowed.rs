//! Is a connection still used whose address a reload has closed?

use std::fs;
use std::time::Duration;

use tests::nest::Nest;
use tests::{Dns, GatewayOptions, Role, Says, World, callback, eventually};

use crate::isolation::moody::{Mood, Moody};

const SOON: Duration = Duration::from_secs(60);

/// Settings that open these addresses.
fn open(entries: &str) -> String {
    format!("[guard]\nallow = [{entries}]\n")
}

#[tokio::test]
async fn a_pooled_connection_is_not_used_once_its_address_is_closed() {
    let nest = Nest::new("narrowed");
    let file = nest.directory().join("settings.toml");
    fs::write(&file, open("\"127.0.0.1/32\"")).unwrap();
    let dns = Dns::start().await;
    dns.set(
        "pooled.ringback.test",
        Says::Addresses(vec!["127.0.0.1".parse().unwrap()]),
    );
    let mut world = World::start(|_| {
        let options = GatewayOptions::default()
            .with("RINGBACK_CONFIG", &file.display().to_string())
            .with(
                "RINGBACK__DISPATCHER__DNS_SERVERS",
                &dns.address().to_string(),
            );
        // What the environment says, no file changes.
        options.without("RINGBACK__GUARD__ALLOW")
    })
    .await;
    let target = Moody::start(Mood::Status(200)).await;
    let url = target.url().replace("127.0.0.1", "pooled.ringback.test");
    for count in 1..=3 {
        world.send(&callback(&url)).await;
        eventually("the callback at its target", SOON, async || {
            (target.arrived().len() == count).then_some(())
        })
        .await;
        let delivered = "ringback_attempts_total{outcome=\"delivered\",lane=\"first\"}";
        eventually("its answer", SOON, async || {
            (world.metric(Role::Dispatcher(0), delivered).await == count as u64).then_some(())
        })
        .await;
    }
    assert_eq!(target.connections(), 1, "it is kept");

    fs::write(&file, open("\"127.0.0.9/32\"")).unwrap();
    for door in world.gateway.doors_out() {
        door.process.sighup();
    }
    let series = "ringback_settings_reloads_total{result=\"taken\"}";
    eventually("the reload", SOON, async || {
        (world.metric(Role::Dispatcher(0), series).await >= 1).then_some(())
    })
    .await;
    let id = world.send(&callback(&url)).await;
    let letter = world.dead_letter(&id).await;
    assert_eq!(letter.outcomes(), ["address_refused"]);
    assert_eq!(target.arrived().len(), 3);
    assert_eq!(target.connections(), 1);
}
