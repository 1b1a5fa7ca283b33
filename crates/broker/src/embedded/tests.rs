//! Delays under a wall clock that is wrong for a while.

use super::broker::{EmbeddedBroker, EmbeddedOptions};
use super::clock::testing::MovedWallClock;
use crate::message::{BrokerMessage, Queue, Route};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DAY: i64 = 86_400_000;
/// No delay of these tests comes later, even on a busy machine.
const SOON: Duration = Duration::from_secs(20);

struct DataDir(PathBuf);

impl DataDir {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn open(directory: &Path, clock: Arc<MovedWallClock>) -> EmbeddedBroker {
    let options = EmbeddedOptions {
        directory: directory.to_owned(),
        publish_timeout: Duration::from_secs(5),
        min_free_bytes: 0,
    };
    EmbeddedBroker::open_with(&options, clock).unwrap()
}

async fn publish_later(broker: &EmbeddedBroker, id: &str, delay: Duration) {
    let message = BrokerMessage {
        id: id.to_owned(),
        kind: "test",
        headers: Vec::new(),
        body: id.as_bytes().to_vec().into(),
    };
    let published = broker.publish(&Route::Later(delay), message).await;
    published.unwrap();
}

/// Takes so many messages, in the order of their delays.
async fn take(broker: &EmbeddedBroker, count: usize) -> Vec<String> {
    let mut consumer = broker.consume(Queue::Retry, 16);
    let mut taken = Vec::new();
    for _ in 0..count {
        let received = tokio::time::timeout(SOON, consumer.next()).await;
        let received = received.expect("a delayed message did not come");
        taken.push(String::from_utf8(received.body.to_vec()).unwrap());
        received
            .settle(crate::settlement::Settlement::Complete)
            .await
            .unwrap();
    }
    consumer.close().await;
    taken
}

#[tokio::test]
async fn a_clock_a_day_ahead_for_a_while_moves_no_delay() {
    let directory = DataDir::new("ringback-ahead");
    let clock = Arc::new(MovedWallClock::by(0));
    let broker = open(&directory.0, Arc::clone(&clock));
    let delay = Duration::from_millis(1_500);
    let before = Instant::now();
    publish_later(&broker, "before", delay).await;
    clock.move_to(DAY);
    publish_later(&broker, "ahead", delay + Duration::from_millis(100)).await;
    clock.move_to(-DAY);
    publish_later(&broker, "behind", delay + Duration::from_millis(200)).await;
    clock.move_to(0);
    assert_eq!(take(&broker, 3).await, ["before", "ahead", "behind"]);
    assert!(before.elapsed() >= delay, "a delay ended early");
    broker.close().await;
}

#[tokio::test]
async fn after_a_boot_a_message_delayed_under_a_clock_ahead_waits_its_own_delay_at_most() {
    let directory = DataDir::new("ringback-restarted-ahead");
    let broker = open(&directory.0, Arc::new(MovedWallClock::by(DAY)));
    let delay = Duration::from_millis(1_000);
    for id in ["one", "two"] {
        publish_later(&broker, id, delay).await;
    }
    broker.close().await;
    let restarted = Instant::now();
    let rebooted = MovedWallClock::in_boot("next", 0);
    let broker = open(&directory.0, Arc::new(rebooted));
    assert_eq!(take(&broker, 2).await, ["one", "two"]);
    assert!(restarted.elapsed() >= delay, "its clock had not reached it");
    broker.close().await;
}

#[tokio::test]
async fn a_clock_that_is_set_before_a_restart_moves_no_delay() {
    for (name, before, after) in [
        ("ahead", 0, DAY),
        ("behind", 0, -DAY),
        ("right-again", -DAY, 0),
    ] {
        let directory = DataDir::new(&format!("ringback-restarted-{name}-again"));
        let broker = open(&directory.0, Arc::new(MovedWallClock::by(before)));
        let delay = Duration::from_millis(2_000);
        let published = Instant::now();
        publish_later(&broker, name, delay).await;
        broker.close().await;
        let restarted = Instant::now();
        let broker = open(&directory.0, Arc::new(MovedWallClock::by(after)));
        assert_eq!(take(&broker, 1).await, [name]);
        assert!(published.elapsed() >= delay, "{name}: a delay ended early");
        assert!(restarted.elapsed() < SOON, "{name}");
        broker.close().await;
    }
}
