//! What the broker can do at best: confirmed publishes by a client that does nothing else.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel};

use tests::RabbitMq;

use super::figures::Times;
use super::memory::message;
use super::rate;

/// lapin scans all pending publishes at each `multiple` confirm: more would cost more than it
/// gains.
const IN_FLIGHT: usize = 1_000;

/// Persistent messages of a callback's size per second, into quorum queues of their own. Each
/// connection has a channel, a queue and [`IN_FLIGHT`] unconfirmed messages.
///
/// # Panics
/// When the node refuses.
pub(crate) async fn pipelined(node: &RabbitMq, connections: usize, time: Duration) -> f64 {
    let begun = Instant::now();
    let publishers = (0..connections).map(|_| async {
        let channel = channel(node).await;
        let (body, queue) = (body(), declare(&channel).await);
        let (mut in_flight, mut count) = (FuturesUnordered::new(), 0_u64);
        while begun.elapsed() < time {
            while in_flight.len() < IN_FLIGHT {
                in_flight.push(publish(&channel, &queue, &body));
            }
            in_flight.next().await;
            count += 1;
        }
        while in_flight.next().await.is_some() {
            count += 1;
        }
        count
    });
    let counts = futures_util::future::join_all(publishers).await;
    rate(counts.iter().sum(), begun.elapsed())
}

/// The times of one publish after the other until its confirm.
///
/// # Panics
/// When the node refuses.
pub(crate) async fn one_by_one(node: &RabbitMq, time: Duration) -> Times {
    let channel = channel(node).await;
    let (body, queue) = (body(), declare(&channel).await);
    let (begun, mut times) = (Instant::now(), Times::default());
    while begun.elapsed() < time {
        let sent = Instant::now();
        publish(&channel, &queue, &body).await;
        times.record(sent.elapsed());
    }
    times
}

async fn channel(node: &RabbitMq) -> Channel {
    let connection = node.connect().await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    let options = ConfirmSelectOptions::default();
    channel.confirm_select(options).await.expect("confirms");
    channel
}

fn body() -> Vec<u8> {
    message(SocketAddr::from(([127, 0, 0, 1], 9))).body.to_vec()
}

async fn declare(channel: &Channel) -> String {
    let name = format!("bare.{}", uuid::Uuid::now_v7().simple());
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    let options = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let declared = channel.queue_declare(name.as_str().into(), options, arguments);
    declared.await.expect("a queue");
    name
}

async fn publish(channel: &Channel, queue: &str, body: &[u8]) {
    let properties = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let published = channel.basic_publish("".into(), queue.into(), options, body, properties);
    let confirm = published.await.expect("written");
    let confirmed = confirm.await.expect("a confirm");
    assert!(confirmed.is_ack(), "{confirmed:?}");
}
