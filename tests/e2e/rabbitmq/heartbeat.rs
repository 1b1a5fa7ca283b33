//! The heartbeat of the connections to RabbitMQ.

use broker::{Broker, ConnectionState, RabbitMqOptions};
use tests::{RabbitMq, eventually};

use super::SOON;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heartbeat_is_four_seconds_unless_the_url_says_otherwise() {
    let rabbit = RabbitMq::shared().await;
    // RabbitMQ offers 60 s; the lower value counts, unless it is zero.
    for (query, seconds) in [("", "4"), ("?heartbeat=7", "7"), ("?heartbeat=600", "60")] {
        let mut settings = RabbitMqOptions::new(&format!("{}{query}", rabbit.uri())).unwrap();
        settings.prefix = "heartbeat".to_owned();
        settings.connection_name = format!("heart-{seconds}");
        let own = format!("heart-{seconds} publish");
        let broker = Broker::start(settings).unwrap();
        let connected = |state: &ConnectionState| *state == ConnectionState::Connected;
        broker.publishing().wait_for(connected).await.unwrap();
        eventually("the connection in the broker's list", SOON, async || {
            let query = ["list_connections", "timeout", "client_properties"];
            let listed = rabbit.ctl(&query).await;
            let own = listed.lines().find(|line| line.contains(&own));
            let timeout = own.and_then(|line| line.split('\t').next());
            (timeout == Some(seconds)).then_some(()).ok_or(listed)
        })
        .await;
        broker.close().await;
    }
}
