//! The conformance suite: what every adapter guarantees.
//!
//! A guarantee that two adapters could implement differently is tested here first.
//!
//! - `mod.rs`: messages, delays, settlements, depths, crashes. `replies.rs`: replies.
//! - `support.rs`: [`BrokerFixture`] and the suite's helpers.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise must fail loudly"
)]

mod replies;
mod support;

use crate::{Queue, Settlement};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use support::{
    TIMEOUT, close, message, next, next_within, publish, publish_later, publish_record, settle,
    text, wait_until_up,
};

pub use support::BrokerFixture;

/// RabbitMQ retries a dead-lettering to a queue that is still recovering only every 180 s.
const TIMEOUT_AFTER_CRASH: Duration = Duration::from_secs(240);
/// How late an unloaded adapter may be beyond the guaranteed 1 s and 2 %, because of pauses of the
/// machine.
const SLACK: Duration = Duration::from_millis(1_500);

/// Tests every guarantee except those about a crash.
pub async fn exercise(fixture: &impl BrokerFixture) {
    what_is_published_is_received_byte_for_byte(fixture).await;
    a_settled_message_is_removed(fixture).await;
    a_delay_is_never_early_and_barely_late(fixture).await;
    a_follow_up_replaces_its_original(fixture).await;
    a_dead_letter_is_kept_with_its_reason(fixture).await;
    unreadable_bytes_are_kept_unchanged(fixture).await;
    no_more_than_the_prefetch_is_unsettled(fixture).await;
    a_dropped_message_is_redelivered_only_after_its_consumer_has_ended(fixture).await;
    a_graceful_stop_returns_what_was_not_delivered(fixture).await;
    the_depth_of_a_queue_is_reported(fixture).await;
    records_have_their_own_queue_and_depth(fixture).await;
    replies::a_reply_reaches_its_listener(fixture).await;
    replies::a_reply_without_a_listener_is_dropped_harmlessly(fixture).await;
    replies::excess_replies_are_dropped_harmlessly(fixture).await;
}

async fn what_is_published_is_received_byte_for_byte(fixture: &impl BrokerFixture) {
    let broker = fixture.open("bytes").await;
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from(every_byte),
    ];
    let mut consumer = broker.consume(Queue::First, 10);
    for body in bodies {
        publish(&broker, body.clone()).await;
        let received = next(&mut consumer).await;
        assert_eq!(received.body, body);
        assert!(!received.redelivered);
        settle(received, Settlement::Complete).await;
    }
    close(broker, consumer).await;
}

async fn a_settled_message_is_removed(fixture: &impl BrokerFixture) {
    let broker = fixture.open("settled").await;
    let mut consumer = broker.consume(Queue::First, 10);
    publish(&broker, "settled").await;
    settle(next(&mut consumer).await, Settlement::Complete).await;
    close(broker, consumer).await;
    let broker = fixture.open("settled").await;
    let mut consumer = broker.consume(Queue::First, 10);
    // The next message proves that it was removed.
    publish(&broker, "next").await;
    let received = next(&mut consumer).await;
    assert_eq!(received.body, "next");
    settle(received, Settlement::Complete).await;
    close(broker, consumer).await;
}

async fn a_delay_is_never_early_and_barely_late(fixture: &impl BrokerFixture) {
    let broker = fixture.open("delays").await;
    let mut consumer = broker.consume(Queue::Retry, 10);
    wait_until_up(&broker).await;
    let begun = Instant::now();
    let delays = [1_000, 3_000, 1_500, 0].map(Duration::from_millis);
    for delay in delays {
        publish_later(&broker, delay.as_millis().to_string(), delay).await;
    }
    for _ in delays {
        let received = next(&mut consumer).await;
        let waited = begun.elapsed();
        let delay = text(&received)
            .parse()
            .map(Duration::from_millis)
            .expect("a number");
        assert!(waited >= delay, "{waited:?} is earlier than {delay:?}");
        let latest = delay + Duration::from_secs(1) + delay / 50 + SLACK;
        assert!(waited <= latest, "{waited:?} is much later than {delay:?}");
        settle(received, Settlement::Complete).await;
    }
    close(broker, consumer).await;
}

async fn a_follow_up_replaces_its_original(fixture: &impl BrokerFixture) {
    let broker = fixture.open("follow-up").await;
    let (mut first, mut retry) = (
        broker.consume(Queue::First, 10),
        broker.consume(Queue::Retry, 10),
    );
    publish(&broker, "try").await;
    let delay = Duration::from_secs(1);
    let message = message("try again");
    let later = Settlement::Reschedule { delay, message };
    settle(next(&mut first).await, later).await;
    let begun = Instant::now();
    let received = next(&mut retry).await;
    assert_eq!(received.body, "try again");
    assert!(begun.elapsed() <= delay + Duration::from_secs(1) + SLACK);
    settle(received, Settlement::Complete).await;
    retry.close().await;
    close(broker, first).await;
}

async fn a_dead_letter_is_kept_with_its_reason(fixture: &impl BrokerFixture) {
    let broker = fixture.open("dead").await;
    let (mut first, mut dead) = (
        broker.consume(Queue::First, 10),
        broker.consume(Queue::Dead, 10),
    );
    publish(&broker, "alive").await;
    let reason = "exhausted";
    let dead_letter = Settlement::DeadLetter {
        reason,
        message: message("given up"),
    };
    settle(next(&mut first).await, dead_letter).await;
    let received = next(&mut dead).await;
    assert_eq!(received.body, "given up");
    // The embedded store does not return the reason.
    assert!(
        received
            .reason
            .as_deref()
            .is_none_or(|found| found == reason)
    );
    settle(received, Settlement::Complete).await;
    dead.close().await;
    close(broker, first).await;
}

async fn unreadable_bytes_are_kept_unchanged(fixture: &impl BrokerFixture) {
    let broker = fixture.open("unreadable").await;
    let mut first = broker.consume(Queue::First, 10);
    publish(&broker, "\u{0}garbage").await;
    let quarantine = Settlement::Quarantine {
        reason: "not readable".to_owned(),
    };
    settle(next(&mut first).await, quarantine).await;
    let mut consumer = broker.consume(Queue::Unreadable, 10);
    let received = next(&mut consumer).await;
    assert_eq!(received.body, "\u{0}garbage");
    settle(received, Settlement::Complete).await;
    consumer.close().await;
    close(broker, first).await;
}

async fn no_more_than_the_prefetch_is_unsettled(fixture: &impl BrokerFixture) {
    let broker = fixture.open("prefetch").await;
    for number in 0..3 {
        publish(&broker, number.to_string()).await;
    }
    let mut consumer = broker.consume(Queue::First, 2);
    let (one, two) = (next(&mut consumer).await, next(&mut consumer).await);
    // A quarter of a second is far longer than a delivery takes: the first two came at once.
    let third = tokio::time::timeout(Duration::from_millis(250), consumer.next()).await;
    assert!(
        third.is_err(),
        "a third message came while two were unsettled"
    );
    settle(one, Settlement::Complete).await;
    let three = next(&mut consumer).await;
    settle(two, Settlement::Complete).await;
    settle(three, Settlement::Complete).await;
    close(broker, consumer).await;
}

async fn a_dropped_message_is_redelivered_only_after_its_consumer_has_ended(
    fixture: &impl BrokerFixture,
) {
    let broker = fixture.open("dropped").await;
    let mut consumer = broker.consume(Queue::First, 10);
    publish(&broker, "dropped").await;
    drop(next(&mut consumer).await);
    publish(&broker, "next").await;
    let received = next(&mut consumer).await;
    assert_eq!(
        received.body, "next",
        "a dropped message was redelivered at once"
    );
    settle(received, Settlement::Complete).await;
    close(broker, consumer).await;
    let broker = fixture.open("dropped").await;
    let mut consumer = broker.consume(Queue::First, 10);
    let received = next(&mut consumer).await;
    assert_eq!(received.body, "dropped");
    assert!(received.redelivered);
    settle(received, Settlement::Complete).await;
    close(broker, consumer).await;
}

async fn a_graceful_stop_returns_what_was_not_delivered(fixture: &impl BrokerFixture) {
    let broker = fixture.open("stop").await;
    let all: BTreeSet<String> = (0..20).map(|number| number.to_string()).collect();
    for body in &all {
        publish(&broker, body.clone()).await;
    }
    let mut settled = BTreeSet::new();
    let mut consumer = broker.consume(Queue::First, 10);
    let in_flight = [
        next(&mut consumer).await,
        next(&mut consumer).await,
        next(&mut consumer).await,
    ];
    consumer.cancel().await;
    for received in in_flight {
        assert!(settled.insert(text(&received)));
        settle(received, Settlement::Complete).await;
    }
    close(broker, consumer).await;
    let broker = fixture.open("stop").await;
    let mut consumer = broker.consume(Queue::First, 10);
    while settled.len() < all.len() {
        let received = next(&mut consumer).await;
        assert!(
            settled.insert(text(&received)),
            "{} was settled before the stop",
            text(&received)
        );
        settle(received, Settlement::Complete).await;
    }
    assert_eq!(settled, all);
    close(broker, consumer).await;
}

async fn the_depth_of_a_queue_is_reported(fixture: &impl BrokerFixture) {
    let broker = fixture.open("depth").await;
    for _ in 0..3 {
        publish(&broker, "waiting").await;
    }
    let mut depths = broker.depths();
    let seen = tokio::time::timeout(TIMEOUT, depths.wait_for(|depths| depths.first == 3)).await;
    seen.expect("the depth in time").expect("a running watcher");
    let mut consumer = broker.consume(Queue::First, 10);
    for _ in 0..3 {
        settle(next(&mut consumer).await, Settlement::Complete).await;
    }
    let seen = tokio::time::timeout(TIMEOUT, depths.wait_for(|depths| depths.backlog() == 0)).await;
    seen.expect("the empty depth in time")
        .expect("a running watcher");
    close(broker, consumer).await;
}

async fn records_have_their_own_queue_and_depth(fixture: &impl BrokerFixture) {
    let broker = fixture.open("records").await;
    publish_record(&broker, "unsettled").await;
    publish_record(&broker, "garbage").await;
    let mut depths = broker.depths();
    let seen = tokio::time::timeout(TIMEOUT, depths.wait_for(|depths| depths.journal == 2)).await;
    let seen = *seen.expect("the depth in time").expect("a running watcher");
    assert_eq!(seen.backlog(), 0, "records are not part of the backlog");
    let mut consumer = broker.consume(Queue::Journal, 10);
    let held = next(&mut consumer).await;
    assert_eq!(held.body, "unsettled");
    let reason = "not readable".to_owned();
    settle(next(&mut consumer).await, Settlement::Quarantine { reason }).await;
    let mut unreadable = broker.consume(Queue::Unreadable, 10);
    let received = next(&mut unreadable).await;
    assert_eq!(received.body, "garbage");
    settle(received, Settlement::Complete).await;
    unreadable.close().await;
    // As a journal writer does that stops while the journal is away.
    drop(held);
    close(broker, consumer).await;
    let broker = fixture.open("records").await;
    let mut consumer = broker.consume(Queue::Journal, 10);
    let received = next(&mut consumer).await;
    assert_eq!(received.body, "unsettled");
    settle(received, Settlement::Complete).await;
    close(broker, consumer).await;
}

/// Tests a crash: nothing is lost, and delays go on. Separate from [`exercise`], so that the
/// crashing store holds only this test's broker.
pub async fn exercise_crash(fixture: &impl BrokerFixture) {
    let broker = fixture.open("crash").await;
    let mut consumer = broker.consume(Queue::First, 50);
    wait_until_up(&broker).await;
    let begun = Instant::now();
    // One hop through RabbitMQ's delay queues, and longer than a node takes to restart.
    let delay = Duration::from_secs(32);
    let mut all = BTreeSet::new();
    for number in 0..100 {
        let (body, later) = (format!("first {number}"), format!("later {number}"));
        publish(&broker, body.clone()).await;
        publish_later(&broker, later.clone(), delay).await;
        all.extend([body, later]);
    }
    publish_record(&broker, "record").await;
    let in_flight = [next(&mut consumer).await, next(&mut consumer).await];
    let mut replies = broker.replies();
    replies::a_reply_arrives(&broker, &mut replies).await;
    fixture.crash().await;
    replies::a_reply_arrives(&broker, &mut replies).await;
    drop((in_flight, consumer));
    broker.close().await;
    let broker = fixture.open("crash").await;
    let (mut first, mut retry) = (
        broker.consume(Queue::First, 500),
        broker.consume(Queue::Retry, 500),
    );
    let mut seen = BTreeSet::new();
    while seen.len() < all.len() {
        // At least once: a duplicate is allowed after a crash.
        let received = tokio::select! {
            received = next_within(TIMEOUT_AFTER_CRASH, &mut first) => received,
            received = next_within(TIMEOUT_AFTER_CRASH, &mut retry) => {
                assert!(begun.elapsed() >= delay, "the crash cut a delay short");
                received
            }
        };
        seen.insert(text(&received));
        settle(received, Settlement::Complete).await;
    }
    assert_eq!(seen, all);
    let mut journal = broker.consume(Queue::Journal, 10);
    let received = next(&mut journal).await;
    assert_eq!(received.body, "record");
    settle(received, Settlement::Complete).await;
    journal.close().await;
    retry.close().await;
    close(broker, first).await;
}
