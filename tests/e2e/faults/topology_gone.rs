//! A queue is deleted while it is consumed.

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tests::{GatewayOptions, GatewayRole, RabbitMq, Scenario, eventually};

use super::NOTICED;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_declared_again_and_work_goes_on() {
    let rabbit = RabbitMq::shared().await;
    let mut scenario = Scenario::start(rabbit, GatewayOptions::default()).await;
    let retry = scenario.name("retry");
    let connection = rabbit.connect().await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    // Callbacks in the delay queues must arrive nevertheless.
    let mut answers = scenario.callers(&["/flaky/1"], 8, 40).done().await;
    channel
        .queue_delete(retry.as_str().into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    eventually("the queue, with its consumer", NOTICED, async || {
        // A refused passive declare closes its channel.
        let channel = connection.create_channel().await.unwrap();
        let passive = QueueDeclareOptions::default().passive();
        let seen = channel
            .queue_declare(retry.as_str().into(), passive, FieldTable::default())
            .await
            .map_err(|error| error.to_string())?;
        match seen.consumer_count() {
            1 => Ok(()),
            count => Err(format!("{count} consumers")),
        }
    })
    .await;
    scenario
        .broker_is(GatewayRole::Dispatcher(0), "connected", NOTICED)
        .await;

    answers.extend(scenario.callers(&["/flaky/1"], 8, 40).done().await);
    let audit = scenario.settle(&answers).await;
    println!("queue deleted: {audit}");
    assert_eq!((audit.accepted, audit.delivered), (80, 80), "{audit}");
}
