//! How often does either side show that it lives?

use broker::{Broker, Settings, State};
use tests::{Rabbit, eventually};

use super::SOON;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_ten_seconds_unless_the_url_says_otherwise() {
    let rabbit = Rabbit::shared().await;
    // RabbitMQ offers 60 s; the lower one counts, unless it is none.
    for (query, seconds) in [("", "10"), ("?heartbeat=7", "7"), ("?heartbeat=600", "60")] {
        let mut settings = Settings::new(&format!("{}{query}", rabbit.uri())).unwrap();
        settings.prefix = "heartbeat".to_owned();
        settings.connection_name = format!("heart-{seconds}");
        let own = format!("heart-{seconds} publish");
        let broker = Broker::start(settings).unwrap();
        let connected = |state: &State| *state == State::Connected;
        broker.publishing().wait_for(connected).await.unwrap();
        eventually("the connection in the broker's list", SOON, async || {
            let asked = ["list_connections", "timeout", "client_properties"];
            let listed = rabbit.ctl(&asked).await;
            let own = listed.lines().find(|line| line.contains(&own));
            let told = own.and_then(|line| line.split('\t').next());
            (told == Some(seconds)).then_some(()).ok_or(listed)
        })
        .await;
        broker.close().await;
    }
}
