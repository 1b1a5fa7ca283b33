//! Control messages reach all listeners if nothing fails, and never disturb other work.

use super::support::{BrokerFixture, TIMEOUT, close, next, publish, settle};
use crate::{Control, Queue, Settlement};
use bytes::Bytes;
use std::time::Duration;

/// A message that has not arrived by then was lost, which is allowed.
const LOST_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn a_message_reaches_all_processes_and_each_can_be_answered_alone(
    fixture: &impl BrokerFixture,
) {
    let broker = fixture.open("control").await;
    let (mut one, mut other) = (broker.control(), broker.control());
    let addresses = [address(&one).await, address(&other).await];
    assert_ne!(addresses[0], addresses[1]);
    one.sender().broadcast("question".into());
    assert_eq!(received(&mut one).await.as_deref(), Some(&b"question"[..]));
    assert_eq!(
        received(&mut other).await.as_deref(),
        Some(&b"question"[..])
    );
    broker.reply(addresses[0].clone(), "answer".into());
    assert_eq!(received(&mut one).await.as_deref(), Some(&b"answer"[..]));
    assert_eq!(received(&mut other).await, None, "an answer to another one");
    drop(other);
    one.sender().broadcast("alone".into());
    assert_eq!(received(&mut one).await.as_deref(), Some(&b"alone"[..]));
    broker.close().await;
}

pub(super) async fn excess_control_messages_are_dropped_harmlessly(fixture: &impl BrokerFixture) {
    let broker = fixture.open("control-flood").await;
    let mut control = broker.control();
    address(&control).await;
    let sender = control.sender();
    for _ in 0..20_000 {
        sender.broadcast("one of many".into());
    }
    let mut first = broker.consume(Queue::First, 10);
    publish(&broker, "work").await;
    settle(next(&mut first).await, Settlement::Complete).await;
    let mut read = 0;
    while received(&mut control).await.is_some() {
        read += 1;
    }
    assert!((1..20_000).contains(&read), "{read} messages were kept");
    sender.broadcast("after it".into());
    assert_eq!(
        received(&mut control).await.as_deref(),
        Some(&b"after it"[..])
    );
    close(broker, first).await;
}

async fn address(control: &Control) -> String {
    let mut address = control.address();
    let address = tokio::time::timeout(TIMEOUT, address.wait_for(Option::is_some)).await;
    let address = address.expect("an address in time").expect("a listener");
    address.clone().expect("an address")
}

async fn received(control: &mut Control) -> Option<Bytes> {
    tokio::time::timeout(LOST_AFTER, control.next()).await.ok()
}
