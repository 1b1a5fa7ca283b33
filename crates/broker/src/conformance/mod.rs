//! The conformance suite: what every adapter guarantees.
//!
//! A guarantee that two adapters could implement differently is tested here first.
//!
//! - `mod.rs`: messages, delays, settlements, depths, crashes. `replies.rs`: replies.
//!   `control.rs`: messages to all processes.
//! - `support.rs`: [`BrokerFixture`] and the suite's helpers.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise must fail loudly"
)]

mod control;
mod replies;
mod support;

use crate::settlement::REDELIVERY_PAUSE;
use crate::{BrokerMessage, Depths, Queue, Removal, Settlement};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use support::{
    TIMEOUT, close, message, next, next_within, publish, publish_later, publish_record, settle,
    text, wait_until_up,
};
use tokio::sync::watch;

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
    a_dropped_message_returns_at_once_when_its_consumer_is_closed(fixture).await;
    a_dropped_message_is_redelivered_later_and_its_place_is_given_back(fixture).await;
    what_is_returned_comes_before_what_is_newer(fixture).await;
    what_waits_is_removed_by_its_id_or_not_at_all(fixture).await;
    a_graceful_stop_returns_what_was_not_delivered(fixture).await;
    the_depth_of_a_queue_is_reported(fixture).await;
    what_is_delayed_is_counted_apart_from_what_is_due(fixture).await;
    records_have_their_own_queue_and_depth(fixture).await;
    replies::a_reply_reaches_its_listener(fixture).await;
    replies::a_reply_without_a_listener_is_dropped_harmlessly(fixture).await;
    replies::excess_replies_are_dropped_harmlessly(fixture).await;
    control::a_message_reaches_all_processes_and_each_can_be_answered_alone(fixture).await;
    control::excess_control_messages_are_dropped_harmlessly(fixture).await;
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
        at: 1_763_900_000_000,
    };
    settle(next(&mut first).await, quarantine).await;
    let mut consumer = broker.consume(Queue::Unreadable, 10);
    let received = next(&mut consumer).await;
    assert_eq!(received.body, "\u{0}garbage");
    assert_eq!(received.reason.as_deref(), Some("not readable"));
    let (from, at) = &received.quarantined;
    assert_eq!(
        (from.as_deref(), *at),
        (Some("first"), Some(1_763_900_000_000))
    );
    // Looking at it changes nothing.
    drop(received);
    consumer.close().await;
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

async fn a_dropped_message_returns_at_once_when_its_consumer_is_closed(
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

async fn a_dropped_message_is_redelivered_later_and_its_place_is_given_back(
    fixture: &impl BrokerFixture,
) {
    const WINDOW: u16 = 2;
    let broker = fixture.open("drops").await;
    let all: BTreeSet<String> = (0..4).map(|number| number.to_string()).collect();
    for body in &all {
        publish(&broker, body.clone()).await;
    }
    let mut consumer = broker.consume(Queue::First, WINDOW);
    let begun = Instant::now();
    // More than the window: without its places this would hang.
    for _ in 0..=2 * WINDOW {
        drop(next(&mut consumer).await);
    }
    // Each window of drops keeps its places for the pause: this is no loop at full speed.
    assert!(begun.elapsed() >= 2 * REDELIVERY_PAUSE);
    let (mut seen, mut redelivered) = (BTreeSet::new(), false);
    while seen.len() < all.len() {
        let received = next(&mut consumer).await;
        redelivered |= received.redelivered;
        assert!(seen.insert(text(&received)), "{} twice", text(&received));
        settle(received, Settlement::Complete).await;
    }
    assert_eq!(seen, all);
    assert!(redelivered);
    close(broker, consumer).await;
}

/// A probe at the tail of a work queue relies on this: when it comes out, everything before it has.
async fn what_is_returned_comes_before_what_is_newer(fixture: &impl BrokerFixture) {
    let broker = fixture.open("order").await;
    for queue in [Queue::First, Queue::Retry] {
        let send = async |body: &str| match queue {
            Queue::Retry => publish_later(&broker, body.to_owned(), Duration::ZERO).await,
            _ => publish(&broker, body.to_owned()).await,
        };
        let mut consumer = broker.consume(queue, 2);
        for body in ["oldest", "older"] {
            send(body).await;
        }
        let mut held = vec![next(&mut consumer).await, next(&mut consumer).await];
        send("newer").await;
        // The dispatcher crashes.
        held.reverse();
        drop(held);
        consumer.close().await;
        let mut consumer = broker.consume(queue, 1);
        for body in ["oldest", "older", "newer"] {
            let received = next(&mut consumer).await;
            assert_eq!(text(&received), body, "{queue:?}");
            settle(received, Settlement::Complete).await;
        }
        consumer.close().await;
    }
    broker.close().await;
}

async fn what_waits_is_removed_by_its_id_or_not_at_all(fixture: &impl BrokerFixture) {
    let broker = fixture.open("removed").await;
    let (delay, late) = (Duration::from_secs(4), Duration::from_secs(600_000));
    let with_id = |id: &str| BrokerMessage {
        id: id.to_owned(),
        ..message(id.to_owned())
    };
    wait_until_up(&broker).await;
    for (id, delay) in [("gone", late), ("gone", delay), ("stays", delay)] {
        let published = broker.publish_later(with_id(id), delay).await;
        published.expect("a confirmed, delayed publish");
    }
    let mark = broker.publish_mark();
    // As a replay does, between the decision to remove and the removal.
    let published = broker.publish_later(with_id("gone"), delay).await;
    published.expect("a confirmed, delayed publish");
    let expected = match broker.remove_waiting("gone".to_owned(), mark).await {
        Removal::Removed(removed) => {
            assert_eq!(removed, 2);
            vec!["gone", "stays"]
        }
        Removal::NotPossible => vec!["gone", "gone", "stays"],
    };
    let mut consumer = broker.consume(Queue::Retry, 10);
    let mut received = Vec::new();
    for _ in &expected {
        let one = next(&mut consumer).await;
        received.push(text(&one));
        settle(one, Settlement::Complete).await;
    }
    received.sort();
    assert_eq!(received, expected);
    let mut depths = broker.depths();
    let left = if expected.len() == 2 { 0 } else { 1 };
    wait_for_depths(&mut depths, "what was not removed", |depths| {
        depths.delayed.current() == Some(left) && depths.backlog().current() == Some(0)
    })
    .await;
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
    let seen = tokio::time::timeout(
        TIMEOUT,
        depths.wait_for(|depths| depths.first.current() == Some(3)),
    )
    .await;
    seen.expect("the depth in time").expect("a running watcher");
    let mut consumer = broker.consume(Queue::First, 10);
    for _ in 0..3 {
        settle(next(&mut consumer).await, Settlement::Complete).await;
    }
    let seen = tokio::time::timeout(
        TIMEOUT,
        depths.wait_for(|depths| depths.backlog().current() == Some(0)),
    )
    .await;
    seen.expect("the empty depth in time")
        .expect("a running watcher");
    close(broker, consumer).await;
}

async fn what_is_delayed_is_counted_apart_from_what_is_due(fixture: &impl BrokerFixture) {
    let broker = fixture.open("delayed").await;
    let (soon, late) = (Duration::from_secs(8), Duration::from_secs(600_000));
    for delay in [soon, late, late + Duration::from_secs(7)] {
        publish_later(&broker, "delayed".to_owned(), delay).await;
    }
    let mut depths = broker.depths();
    wait_for_depths(&mut depths, "three delayed", |depths| {
        depths.delayed.current() == Some(3) && depths.backlog().current() == Some(0)
    })
    .await;
    wait_for_depths(&mut depths, "one due and two delayed", |depths| {
        depths.delayed.current() == Some(2) && depths.retry.current() == Some(1)
    })
    .await;
    let mut consumer = broker.consume(Queue::Retry, 10);
    settle(next(&mut consumer).await, Settlement::Complete).await;
    wait_for_depths(&mut depths, "two delayed", |depths| {
        depths.delayed.current() == Some(2) && depths.backlog().current() == Some(0)
    })
    .await;
    close(broker, consumer).await;
}

/// Waits until the reported depths satisfy `wanted`.
async fn wait_for_depths(
    depths: &mut watch::Receiver<Depths>,
    what: &str,
    wanted: impl FnMut(&Depths) -> bool,
) {
    let seen = tokio::time::timeout(TIMEOUT, depths.wait_for(wanted)).await;
    if let Ok(seen) = seen {
        seen.expect("a running watcher");
        return;
    }
    drop(seen);
    panic!("{what} not seen: {:?}", *depths.borrow());
}

async fn records_have_their_own_queue_and_depth(fixture: &impl BrokerFixture) {
    let broker = fixture.open("records").await;
    publish_record(&broker, "unsettled").await;
    publish_record(&broker, "garbage").await;
    let mut depths = broker.depths();
    let seen = tokio::time::timeout(
        TIMEOUT,
        depths.wait_for(|depths| depths.journal.current() == Some(2)),
    )
    .await;
    let seen = *seen.expect("the depth in time").expect("a running watcher");
    assert_eq!(
        seen.backlog().last_known(),
        Some(0),
        "records are not part of the backlog"
    );
    let mut consumer = broker.consume(Queue::Journal, 10);
    let held = next(&mut consumer).await;
    assert_eq!(held.body, "unsettled");
    let reason = "not readable".to_owned();
    settle(
        next(&mut consumer).await,
        Settlement::Quarantine { reason, at: 0 },
    )
    .await;
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
