//! Replies arrive if nothing fails, and never disturb other work.

use super::support::{BrokerFixture, TIMEOUT, close, next, publish, settle};
use crate::{Broker, Queue, Replies, Settlement};
use bytes::Bytes;
use std::time::Duration;

/// A reply that has not arrived by then was lost, which is allowed.
const LOST_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn a_reply_reaches_its_listener(fixture: &impl BrokerFixture) {
    let broker = fixture.open("replies").await;
    let mut replies = broker.replies();
    a_reply_arrives(&broker, &mut replies).await;
    // In the order sent, and byte for byte.
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"\0\xFF"),
        "a reply to its listener".into(),
    ];
    let address = address(&replies).await;
    for body in &bodies {
        broker.reply(address.clone(), body.clone());
    }
    for body in bodies {
        assert_eq!(received(&mut replies).await, Some(body));
    }
    broker.close().await;
}

pub(super) async fn a_reply_without_a_listener_is_dropped_harmlessly(fixture: &impl BrokerFixture) {
    let broker = fixture.open("no-listener").await;
    let mut gone = broker.replies();
    a_reply_arrives(&broker, &mut gone).await;
    let left = address(&gone).await;
    drop(gone);
    let (long, longer) = ("n".repeat(255), "n".repeat(70_000));
    for address in [&left, "unknown", "", "no-listener.first", &long, &longer] {
        broker.reply(address.to_owned(), "without a listener".into());
    }
    let mut replies = broker.replies();
    a_reply_arrives(&broker, &mut replies).await;
    // Other work goes on, and none of the replies is among the unrouted messages.
    let (mut first, mut unrouted) = (
        broker.consume(Queue::First, 10),
        broker.consume(Queue::Unrouted, 10),
    );
    publish(&broker, "work").await;
    let received = next(&mut first).await;
    assert_eq!(received.body, "work");
    settle(received, Settlement::Complete).await;
    let stray = tokio::time::timeout(LOST_AFTER, unrouted.next()).await;
    assert!(
        stray.is_err(),
        "a reply without a listener is kept: {stray:?}"
    );
    unrouted.close().await;
    close(broker, first).await;
}

pub(super) async fn excess_replies_are_dropped_harmlessly(fixture: &impl BrokerFixture) {
    let broker = fixture.open("flood").await;
    let mut replies = broker.replies();
    a_reply_arrives(&broker, &mut replies).await;
    let address = address(&replies).await;
    for _ in 0..20_000 {
        broker.reply(address.clone(), "one of many".into());
    }
    let mut first = broker.consume(Queue::First, 10);
    publish(&broker, "work").await;
    settle(next(&mut first).await, Settlement::Complete).await;
    let mut read = 0;
    while received(&mut replies).await.is_some() {
        read += 1;
    }
    assert!((1..20_000).contains(&read), "{read} replies were kept");
    a_reply_arrives(&broker, &mut replies).await;
    close(broker, first).await;
}

/// Sends replies until one arrives: the first ones may be lost, for instance with a connection.
pub(super) async fn a_reply_arrives(broker: &Broker, replies: &mut Replies) {
    let arrives = async {
        for number in 0.. {
            let reply = Bytes::from(format!("reply {number}"));
            broker.reply(address(replies).await, reply.clone());
            while let Some(reply_received) = received(replies).await {
                if reply_received == reply {
                    return;
                }
            }
        }
    };
    let arrived = tokio::time::timeout(TIMEOUT, arrives).await;
    arrived.expect("a reply in time");
}

async fn address(replies: &Replies) -> String {
    let mut address = replies.address();
    let address = tokio::time::timeout(TIMEOUT, address.wait_for(Option::is_some)).await;
    let address = address.expect("an address in time").expect("a listener");
    address.clone().expect("an address")
}

async fn received(replies: &mut Replies) -> Option<Bytes> {
    tokio::time::timeout(LOST_AFTER, replies.next()).await.ok()
}
