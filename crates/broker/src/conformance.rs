//! What does every adapter promise? One suite, run against each of them.
//!
//! A promise that two adapters could keep differently belongs here first.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a broken promise must fail loudly"
)]

use crate::{Broker, Lane, Settlement};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tools::{
    PATIENCE, close, message, next, next_within, publish, publish_later, publish_record, settle,
    text, up,
};

mod replies;
mod tools;

/// What the suite needs from the one who runs it.
pub trait Rig {
    /// Opens the world called `name`: the same name finds the same messages again.
    fn open(&self, name: &str) -> impl Future<Output = Broker>;
    /// Kills the store without warning and brings it back.
    fn crash(&self) -> impl Future<Output = ()>;
}

/// RabbitMQ tries a dead-lettering that met a queue still recovering again only every 180 s.
const AFTER_A_CRASH: Duration = Duration::from_secs(240);
/// What an unloaded adapter may be late: the promise's 1 s and 2 %, and the machine's own pauses.
const SLACK: Duration = Duration::from_millis(1_500);

/// Runs every promise but the crash's.
pub async fn exercise(rig: &impl Rig) {
    what_is_published_is_received_byte_for_byte(rig).await;
    a_settled_message_is_gone(rig).await;
    a_delay_is_never_early_and_hardly_late(rig).await;
    a_follow_up_replaces_its_original(rig).await;
    a_message_given_up_is_kept_with_its_reason(rig).await;
    unreadable_bytes_are_set_aside_as_they_are(rig).await;
    no_more_than_the_prefetch_is_in_hand(rig).await;
    a_dropped_message_comes_back_only_after_its_consumer_is_gone(rig).await;
    a_graceful_stop_returns_what_was_not_handed_out(rig).await;
    the_depth_of_a_lane_is_seen(rig).await;
    records_have_a_lane_and_a_depth_of_their_own(rig).await;
    replies::a_reply_reaches_those_who_listen(rig).await;
    replies::a_reply_to_nobody_is_dropped_and_harms_nothing(rig).await;
    replies::more_replies_than_are_read_harm_nothing(rig).await;
}

async fn what_is_published_is_received_byte_for_byte(rig: &impl Rig) {
    let broker = rig.open("bytes").await;
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let bodies = [
        Bytes::new(),
        Bytes::from_static(b"\0"),
        Bytes::from(every_byte),
    ];
    let mut lane = broker.consume(Lane::First, 10);
    for body in bodies {
        publish(&broker, body.clone()).await;
        let received = next(&mut lane).await;
        assert_eq!(received.body, body);
        assert!(!received.redelivered);
        settle(received, Settlement::Done).await;
    }
    close(broker, lane).await;
}

async fn a_settled_message_is_gone(rig: &impl Rig) {
    let broker = rig.open("gone").await;
    let mut lane = broker.consume(Lane::First, 10);
    publish(&broker, "settled").await;
    settle(next(&mut lane).await, Settlement::Done).await;
    close(broker, lane).await;
    let broker = rig.open("gone").await;
    let mut lane = broker.consume(Lane::First, 10);
    // Absence is shown by the next message.
    publish(&broker, "next").await;
    let received = next(&mut lane).await;
    assert_eq!(received.body, "next");
    settle(received, Settlement::Done).await;
    close(broker, lane).await;
}

async fn a_delay_is_never_early_and_hardly_late(rig: &impl Rig) {
    let broker = rig.open("delays").await;
    let mut lane = broker.consume(Lane::Retry, 10);
    up(&broker).await;
    let begun = Instant::now();
    let delays = [1_000, 3_000, 1_500, 0].map(Duration::from_millis);
    for delay in delays {
        publish_later(&broker, delay.as_millis().to_string(), delay).await;
    }
    for _ in delays {
        let received = next(&mut lane).await;
        let waited = begun.elapsed();
        let delay = text(&received)
            .parse()
            .map(Duration::from_millis)
            .expect("a number");
        assert!(waited >= delay, "{waited:?} is earlier than {delay:?}");
        let latest = delay + Duration::from_secs(1) + delay / 50 + SLACK;
        assert!(waited <= latest, "{waited:?} is much later than {delay:?}");
        settle(received, Settlement::Done).await;
    }
    close(broker, lane).await;
}

async fn a_follow_up_replaces_its_original(rig: &impl Rig) {
    let broker = rig.open("follow-up").await;
    let (mut first, mut retry) = (
        broker.consume(Lane::First, 10),
        broker.consume(Lane::Retry, 10),
    );
    publish(&broker, "try").await;
    let delay = Duration::from_secs(1);
    let message = message("try again");
    let later = Settlement::Later { delay, message };
    settle(next(&mut first).await, later).await;
    let begun = Instant::now();
    let received = next(&mut retry).await;
    assert_eq!(received.body, "try again");
    assert!(begun.elapsed() <= delay + Duration::from_secs(1) + SLACK);
    settle(received, Settlement::Done).await;
    retry.close().await;
    close(broker, first).await;
}

async fn a_message_given_up_is_kept_with_its_reason(rig: &impl Rig) {
    let broker = rig.open("dead").await;
    let (mut first, mut dead) = (
        broker.consume(Lane::First, 10),
        broker.consume(Lane::Dead, 10),
    );
    publish(&broker, "alive").await;
    let reason = "exhausted";
    let given_up = Settlement::Dead {
        reason,
        message: message("given up"),
    };
    settle(next(&mut first).await, given_up).await;
    let received = next(&mut dead).await;
    assert_eq!(received.body, "given up");
    settle(received, Settlement::Done).await;
    dead.close().await;
    close(broker, first).await;
}

async fn unreadable_bytes_are_set_aside_as_they_are(rig: &impl Rig) {
    let broker = rig.open("poison").await;
    let mut first = broker.consume(Lane::First, 10);
    publish(&broker, "\u{0}garbage").await;
    let poison = Settlement::Poison {
        reason: "not readable".to_owned(),
    };
    settle(next(&mut first).await, poison).await;
    let mut lane = broker.consume(Lane::Poison, 10);
    let received = next(&mut lane).await;
    assert_eq!(received.body, "\u{0}garbage");
    settle(received, Settlement::Done).await;
    lane.close().await;
    close(broker, first).await;
}

async fn no_more_than_the_prefetch_is_in_hand(rig: &impl Rig) {
    let broker = rig.open("prefetch").await;
    for number in 0..3 {
        publish(&broker, number.to_string()).await;
    }
    let mut lane = broker.consume(Lane::First, 2);
    let (one, two) = (next(&mut lane).await, next(&mut lane).await);
    // A quarter of a second is far longer than a hand-over takes: both before it came at once.
    let third = tokio::time::timeout(Duration::from_millis(250), lane.next()).await;
    assert!(
        third.is_err(),
        "a third message came while two were in hand"
    );
    settle(one, Settlement::Done).await;
    let three = next(&mut lane).await;
    settle(two, Settlement::Done).await;
    settle(three, Settlement::Done).await;
    close(broker, lane).await;
}

async fn a_dropped_message_comes_back_only_after_its_consumer_is_gone(rig: &impl Rig) {
    let broker = rig.open("dropped").await;
    let mut lane = broker.consume(Lane::First, 10);
    publish(&broker, "dropped").await;
    drop(next(&mut lane).await);
    publish(&broker, "next").await;
    let received = next(&mut lane).await;
    assert_eq!(received.body, "next", "a dropped message came back at once");
    settle(received, Settlement::Done).await;
    close(broker, lane).await;
    let broker = rig.open("dropped").await;
    let mut lane = broker.consume(Lane::First, 10);
    let received = next(&mut lane).await;
    assert_eq!(received.body, "dropped");
    assert!(received.redelivered);
    settle(received, Settlement::Done).await;
    close(broker, lane).await;
}

async fn a_graceful_stop_returns_what_was_not_handed_out(rig: &impl Rig) {
    let broker = rig.open("stop").await;
    let all: BTreeSet<String> = (0..20).map(|number| number.to_string()).collect();
    for body in &all {
        publish(&broker, body.clone()).await;
    }
    let mut done = BTreeSet::new();
    let mut lane = broker.consume(Lane::First, 10);
    let in_hand = [
        next(&mut lane).await,
        next(&mut lane).await,
        next(&mut lane).await,
    ];
    lane.cancel().await;
    for received in in_hand {
        assert!(done.insert(text(&received)));
        settle(received, Settlement::Done).await;
    }
    close(broker, lane).await;
    let broker = rig.open("stop").await;
    let mut lane = broker.consume(Lane::First, 10);
    while done.len() < all.len() {
        let received = next(&mut lane).await;
        assert!(
            done.insert(text(&received)),
            "{} was done before the stop",
            text(&received)
        );
        settle(received, Settlement::Done).await;
    }
    assert_eq!(done, all);
    close(broker, lane).await;
}

async fn the_depth_of_a_lane_is_seen(rig: &impl Rig) {
    let broker = rig.open("depth").await;
    for _ in 0..3 {
        publish(&broker, "waiting").await;
    }
    let mut depths = broker.depths();
    let seen = tokio::time::timeout(PATIENCE, depths.wait_for(|depths| depths.first == 3)).await;
    seen.expect("the depth in time").expect("a living watcher");
    let mut lane = broker.consume(Lane::First, 10);
    for _ in 0..3 {
        settle(next(&mut lane).await, Settlement::Done).await;
    }
    let seen =
        tokio::time::timeout(PATIENCE, depths.wait_for(|depths| depths.backlog() == 0)).await;
    seen.expect("the empty depth in time")
        .expect("a living watcher");
    close(broker, lane).await;
}

async fn records_have_a_lane_and_a_depth_of_their_own(rig: &impl Rig) {
    let broker = rig.open("records").await;
    publish_record(&broker, "unsettled").await;
    publish_record(&broker, "garbage").await;
    let mut depths = broker.depths();
    let seen = tokio::time::timeout(PATIENCE, depths.wait_for(|depths| depths.journal == 2)).await;
    let seen = *seen.expect("the depth in time").expect("a living watcher");
    assert_eq!(seen.backlog(), 0, "records are no work for a dispatcher");
    let mut lane = broker.consume(Lane::Journal, 10);
    let held = next(&mut lane).await;
    assert_eq!(held.body, "unsettled");
    let reason = "not readable".to_owned();
    settle(next(&mut lane).await, Settlement::Poison { reason }).await;
    let mut poison = broker.consume(Lane::Poison, 10);
    let received = next(&mut poison).await;
    assert_eq!(received.body, "garbage");
    settle(received, Settlement::Done).await;
    poison.close().await;
    // As a writer does that ends while the journal is away.
    drop(held);
    close(broker, lane).await;
    let broker = rig.open("records").await;
    let mut lane = broker.consume(Lane::Journal, 10);
    let received = next(&mut lane).await;
    assert_eq!(received.body, "unsettled");
    settle(received, Settlement::Done).await;
    close(broker, lane).await;
}

/// Runs the promise of the crash: nothing is lost, and delays go on. Apart from the others, so that
/// the store that dies holds this one world alone.
pub async fn endure_a_crash(rig: &impl Rig) {
    let broker = rig.open("crash").await;
    let mut lane = broker.consume(Lane::First, 50);
    up(&broker).await;
    let begun = Instant::now();
    // One hop on RabbitMQ's ladder, and longer than a node takes to come back.
    let delay = Duration::from_secs(32);
    let mut all = BTreeSet::new();
    for number in 0..100 {
        let (body, later) = (format!("first {number}"), format!("later {number}"));
        publish(&broker, body.clone()).await;
        publish_later(&broker, later.clone(), delay).await;
        all.extend([body, later]);
    }
    publish_record(&broker, "record").await;
    let in_hand = [next(&mut lane).await, next(&mut lane).await];
    let mut listening = broker.replies();
    replies::a_reply_arrives(&broker, &mut listening).await;
    rig.crash().await;
    replies::a_reply_arrives(&broker, &mut listening).await;
    drop((in_hand, lane));
    broker.close().await;
    let broker = rig.open("crash").await;
    let (mut first, mut retry) = (
        broker.consume(Lane::First, 500),
        broker.consume(Lane::Retry, 500),
    );
    let mut seen = BTreeSet::new();
    while seen.len() < all.len() {
        // At least once: a repeat is no fault after a crash.
        let received = tokio::select! {
            received = next_within(AFTER_A_CRASH, &mut first) => received,
            received = next_within(AFTER_A_CRASH, &mut retry) => {
                assert!(begun.elapsed() >= delay, "a delay was cut short by the crash");
                received
            }
        };
        seen.insert(text(&received));
        settle(received, Settlement::Done).await;
    }
    assert_eq!(seen, all);
    let mut journal = broker.consume(Lane::Journal, 10);
    let received = next(&mut journal).await;
    assert_eq!(received.body, "record");
    settle(received, Settlement::Done).await;
    journal.close().await;
    retry.close().await;
    close(broker, first).await;
}
