//! What does every promise need, to be put to the test?

use crate::{Broker, Consumer, Message, Received, Settlement, State};
use bytes::Bytes;
use std::time::Duration;

/// Nothing in the suite takes longer on a sound adapter, restarts included.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn message(body: impl Into<Bytes>) -> Message {
    let headers = vec![("ringback-test", "conformance".to_owned())];
    let (id, body) = ("conformance".to_owned(), body.into());
    Message {
        id,
        kind: "test",
        headers,
        body,
    }
}

/// Publishes; a broker that is still coming up is waited for.
pub(super) async fn publish(broker: &Broker, body: impl Into<Bytes>) {
    up(broker).await;
    broker
        .publish(message(body))
        .await
        .expect("a confirmed publish");
}

pub(super) async fn publish_later(broker: &Broker, body: String, delay: Duration) {
    up(broker).await;
    broker
        .publish_later(message(body), delay)
        .await
        .expect("a confirmed, delayed publish");
}

pub(super) async fn publish_record(broker: &Broker, body: &'static str) {
    up(broker).await;
    broker
        .publish_record(message(body))
        .await
        .expect("a confirmed record");
}

pub(super) async fn up(broker: &Broker) {
    let mut state = broker.publishing();
    let up = tokio::time::timeout(PATIENCE, state.wait_for(State::is_up)).await;
    up.expect("a connection in time")
        .expect("a living connection");
}

pub(super) async fn next(lane: &mut Consumer) -> Received {
    next_within(PATIENCE, lane).await
}

pub(super) async fn next_within(patience: Duration, lane: &mut Consumer) -> Received {
    match tokio::time::timeout(patience, lane.next()).await {
        Ok(received) => received,
        Err(_) => panic!("no message within {patience:?}"),
    }
}

pub(super) async fn settle(received: Received, settlement: Settlement) {
    received.settle(settlement).await.expect("a settlement");
}

pub(super) fn text(received: &Received) -> String {
    String::from_utf8_lossy(&received.body).into_owned()
}

pub(super) async fn close(broker: Broker, lane: Consumer) {
    lane.close().await;
    broker.close().await;
}
