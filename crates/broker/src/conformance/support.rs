//! The adapter under test, and the suite's helpers.

use crate::{Broker, BrokerMessage, ConnectionState, Consumer, Received, Settlement};
use bytes::Bytes;
use std::time::Duration;

/// The adapter under test.
pub trait BrokerFixture {
    /// Opens the broker called `name`: the same name finds the same messages again.
    fn open(&self, name: &str) -> impl Future<Output = Broker>;
    /// Kills the store without warning and starts it again.
    fn crash(&self) -> impl Future<Output = ()>;
}

/// Nothing in the suite takes longer on a working adapter, restarts included.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn message(body: impl Into<Bytes>) -> BrokerMessage {
    let headers = vec![("ringback-test", "conformance".to_owned())];
    let (id, body) = ("conformance".to_owned(), body.into());
    BrokerMessage {
        id,
        kind: "test",
        headers,
        body,
    }
}

/// Publishes as soon as the broker is up.
pub(super) async fn publish(broker: &Broker, body: impl Into<Bytes>) {
    wait_until_up(broker).await;
    broker
        .publish(message(body))
        .await
        .expect("a confirmed publish");
}

pub(super) async fn publish_later(broker: &Broker, body: String, delay: Duration) {
    wait_until_up(broker).await;
    broker
        .publish_later(message(body), delay)
        .await
        .expect("a confirmed, delayed publish");
}

pub(super) async fn publish_record(broker: &Broker, body: &'static str) {
    // Records may have a connection of their own, which the first call opens.
    if let Some(mut state) = broker.publishing_records() {
        let up = tokio::time::timeout(TIMEOUT, state.wait_for(ConnectionState::is_up)).await;
        up.expect("a connection in time")
            .expect("a running supervisor");
    }
    wait_until_up(broker).await;
    broker
        .publish_record(message(body))
        .await
        .expect("a confirmed record");
}

pub(super) async fn wait_until_up(broker: &Broker) {
    let mut state = broker.publishing();
    let up = tokio::time::timeout(TIMEOUT, state.wait_for(ConnectionState::is_up)).await;
    up.expect("a connection in time")
        .expect("a running supervisor");
}

pub(super) async fn next(consumer: &mut Consumer) -> Received {
    next_within(TIMEOUT, consumer).await
}

pub(super) async fn next_within(timeout: Duration, consumer: &mut Consumer) -> Received {
    match tokio::time::timeout(timeout, consumer.next()).await {
        Ok(received) => received,
        Err(_) => panic!("no message within {timeout:?}"),
    }
}

pub(super) async fn settle(received: Received, settlement: Settlement) {
    received.settle(settlement).await.expect("a settlement");
}

pub(super) fn text(received: &Received) -> String {
    String::from_utf8_lossy(&received.body).into_owned()
}

pub(super) async fn close(broker: Broker, consumer: Consumer) {
    consumer.close().await;
    broker.close().await;
}
