//! What is promised of replies? Little: they arrive when all is well, and never do harm.

use super::Rig;
use super::tools::{PATIENCE, close, next, publish, settle};
use crate::{Broker, Lane, Replies, Settlement};
use bytes::Bytes;
use std::time::Duration;

/// A reply that has not arrived by then was lost, which it may be.
const LOST_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn a_reply_reaches_those_who_listen(rig: &impl Rig) {
    let (asking, answering) = (rig.open("replies").await, "a reply to its asker");
    let mut replies = asking.replies();
    a_reply_arrives(&asking, &mut replies).await;
    // In the order sent, and byte for byte.
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"\0\xFF"),
        answering.into(),
    ];
    let address = address(&replies).await;
    for body in &bodies {
        asking.reply(address.clone(), body.clone());
    }
    for body in bodies {
        assert_eq!(heard(&mut replies).await, Some(body));
    }
    asking.close().await;
}

pub(super) async fn a_reply_to_nobody_is_dropped_and_harms_nothing(rig: &impl Rig) {
    let broker = rig.open("nobody").await;
    let mut gone = broker.replies();
    a_reply_arrives(&broker, &mut gone).await;
    let left = address(&gone).await;
    drop(gone);
    let (long, longer) = ("n".repeat(255), "n".repeat(70_000));
    for nobody in [&left, "nobody", "", "nobody.first", &long, &longer] {
        broker.reply(nobody.to_owned(), "to nobody".into());
    }
    let mut replies = broker.replies();
    a_reply_arrives(&broker, &mut replies).await;
    // What counts goes on, and none of it has come where unwanted messages come.
    let (mut first, mut unrouted) = (
        broker.consume(Lane::First, 10),
        broker.consume(Lane::Unrouted, 10),
    );
    publish(&broker, "work").await;
    let received = next(&mut first).await;
    assert_eq!(received.body, "work");
    settle(received, Settlement::Done).await;
    let stray = tokio::time::timeout(LOST_AFTER, unrouted.next()).await;
    assert!(stray.is_err(), "a reply to nobody is kept: {stray:?}");
    unrouted.close().await;
    close(broker, first).await;
}

pub(super) async fn more_replies_than_are_read_harm_nothing(rig: &impl Rig) {
    let broker = rig.open("flood").await;
    let mut replies = broker.replies();
    a_reply_arrives(&broker, &mut replies).await;
    let address = address(&replies).await;
    for _ in 0..20_000 {
        broker.reply(address.clone(), "one of many".into());
    }
    let mut first = broker.consume(Lane::First, 10);
    publish(&broker, "work").await;
    settle(next(&mut first).await, Settlement::Done).await;
    let mut read = 0;
    while heard(&mut replies).await.is_some() {
        read += 1;
    }
    assert!((1..20_000).contains(&read), "{read} replies were kept");
    a_reply_arrives(&broker, &mut replies).await;
    close(broker, first).await;
}

/// Replies until one arrives: the first ones may be lost, with a connection for instance.
pub(super) async fn a_reply_arrives(broker: &Broker, replies: &mut Replies) {
    let arrives = async {
        for number in 0.. {
            let reply = Bytes::from(format!("reply {number}"));
            broker.reply(address(replies).await, reply.clone());
            while let Some(heard) = heard(replies).await {
                if heard == reply {
                    return;
                }
            }
        }
    };
    let arrived = tokio::time::timeout(PATIENCE, arrives).await;
    arrived.expect("a reply in time");
}

async fn address(replies: &Replies) -> String {
    let mut address = replies.address();
    let address = tokio::time::timeout(PATIENCE, address.wait_for(Option::is_some)).await;
    let address = address.expect("an address in time").expect("a listener");
    address.clone().expect("an address")
}

async fn heard(replies: &mut Replies) -> Option<Bytes> {
    tokio::time::timeout(LOST_AFTER, replies.next()).await.ok()
}
