//! The embedded store passes the conformance suite, and has further guarantees.

#![expect(clippy::unwrap_used, reason = "a broken promise must fail loudly")]

use broker::conformance::{BrokerFixture, exercise, exercise_crash};
use broker::{Broker, BrokerMessage, EmbeddedOptions, Queue, Settlement};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Brokers in a directory that is removed when dropped.
struct OnDisk {
    root: PathBuf,
    crashes: AtomicU32,
}

impl OnDisk {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("ringback-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        Self {
            root,
            crashes: AtomicU32::new(0),
        }
    }

    fn directory_after(&self, crashes: u32) -> PathBuf {
        self.root.join(crashes.to_string())
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn open(directory: &Path) -> Result<Broker, String> {
    let publish_timeout = Duration::from_secs(5);
    Broker::open(&EmbeddedOptions {
        directory: directory.to_owned(),
        publish_timeout,
    })
}

impl BrokerFixture for OnDisk {
    async fn open(&self, name: &str) -> Broker {
        open(
            &self
                .directory_after(self.crashes.load(Ordering::Relaxed))
                .join(name),
        )
        .unwrap()
    }

    /// A test cannot kill its own process, so it copies the files as a killed one would leave them,
    /// write-ahead log included. (The end-to-end tests kill the real process.)
    async fn crash(&self) {
        let crashes = self.crashes.fetch_add(1, Ordering::Relaxed);
        let (from, to) = (
            self.directory_after(crashes),
            self.directory_after(crashes + 1),
        );
        for broker in fs::read_dir(from).unwrap() {
            let broker = broker.unwrap().path();
            let copy = to.join(broker.file_name().unwrap());
            fs::create_dir_all(&copy).unwrap();
            // The shared-memory file is left out: a crash does not keep it.
            for file in ["queue.db", "queue.db-wal"].map(|file| broker.join(file)) {
                if file.exists() {
                    fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
                }
            }
        }
    }
}

fn message(body: &str) -> BrokerMessage {
    BrokerMessage {
        id: body.to_owned(),
        kind: "test",
        headers: Vec::new(),
        body: body.as_bytes().to_vec().into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_passes_the_conformance_suite() {
    let disk = OnDisk::new("conformance");
    exercise(&disk).await;
    exercise_crash(&disk).await;
}

#[tokio::test]
async fn a_second_process_on_the_same_directory_is_refused_with_a_sentence() {
    let disk = OnDisk::new("second");
    let first = open(&disk.root).unwrap();
    let refusal = open(&disk.root).unwrap_err();
    assert!(refusal.contains("in use by another process"), "{refusal}");
    assert!(refusal.contains(disk.root.to_str().unwrap()), "{refusal}");
    first.close().await;
    open(&disk.root).unwrap().close().await;
}

#[tokio::test]
async fn a_file_that_is_not_a_queue_is_refused_and_kept() {
    let disk = OnDisk::new("garbage");
    let file = disk.root.join("queue.db");
    fs::write(
        &file,
        "this is not a database, but the only copy of something else",
    )
    .unwrap();
    let refusal = open(&disk.root).unwrap_err();
    assert!(refusal.contains("cannot be opened"), "{refusal}");
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .starts_with("this is not a database")
    );
}

#[tokio::test]
async fn a_message_delivered_after_a_hundred_restarts_goes_to_the_delivery_limit() {
    let disk = OnDisk::new("limit");
    let broker = open(&disk.root).unwrap();
    broker.publish(message("deadly")).await.unwrap();
    broker.close().await;
    for _ in 0..100 {
        let broker = open(&disk.root).unwrap();
        let mut consumer = broker.consume(Queue::First, 1);
        let received = consumer.next().await;
        assert!(received.redelivered);
        // The process ends with the message unsettled.
        drop(received);
        drop(consumer);
        broker.close().await;
    }
    let broker = open(&disk.root).unwrap();
    let mut first = broker.consume(Queue::First, 1);
    let mut limit = broker.consume(Queue::DeliveryLimit, 1);
    let received = tokio::select! {
        _ = first.next() => panic!("it was delivered once more"),
        received = limit.next() => received,
    };
    assert_eq!(received.body, "deadly");
    received.settle(Settlement::Complete).await.unwrap();
    first.close().await;
    limit.close().await;
    broker.close().await;
}

#[tokio::test]
async fn prefetched_messages_return_to_the_queue_when_their_consumer_is_cancelled() {
    const MESSAGES: usize = 10;
    let disk = OnDisk::new("prefetch");
    let broker = open(&disk.root).unwrap();
    for number in 0..MESSAGES {
        broker.publish(message(&number.to_string())).await.unwrap();
    }
    broker.close().await;
    // After a restart the bodies are only on disk, and are read several at a time.
    let broker = open(&disk.root).unwrap();
    let mut first = broker.consume(Queue::First, 1);
    let in_flight = first.next().await;
    assert_eq!(in_flight.body, "0");
    first.cancel().await;
    let mut second = broker.consume(Queue::First, 1);
    for number in 1..MESSAGES {
        let next = tokio::time::timeout(Duration::from_secs(10), second.next());
        let received = next
            .await
            .expect("a message returned by the first consumer");
        assert_eq!(received.body, number.to_string());
        received.settle(Settlement::Complete).await.unwrap();
    }
    in_flight.settle(Settlement::Complete).await.unwrap();
    first.close().await;
    second.close().await;
    broker.close().await;
    let broker = open(&disk.root).unwrap();
    let mut depths = broker.depths();
    depths.changed().await.unwrap();
    assert_eq!(depths.borrow().first, 0);
    broker.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_larger_than_memory_is_delivered_completely_and_in_order() {
    let disk = OnDisk::new("backlog");
    let broker = open(&disk.root).unwrap();
    let messages = 50_000;
    let publishing = (0..50).map(|part| {
        let broker = broker.clone();
        tokio::spawn(async move {
            for number in 0..messages / 50 {
                broker
                    .publish(message(&format!("{part} {number}")))
                    .await
                    .unwrap();
            }
        })
    });
    for part in publishing.collect::<Vec<_>>() {
        part.await.unwrap();
    }
    let mut consumer = broker.consume(Queue::First, 100);
    let mut last = vec![-1; 50];
    for _ in 0..messages {
        let received = consumer.next().await;
        let text = String::from_utf8(received.body.to_vec()).unwrap();
        let (part, number) = text.split_once(' ').unwrap();
        let (part, number): (usize, i64) = (part.parse().unwrap(), number.parse().unwrap());
        assert_eq!(last[part] + 1, number, "part {part} is out of order");
        last[part] = number;
        received.settle(Settlement::Complete).await.unwrap();
    }
    consumer.close().await;
    let mut depths = broker.depths();
    depths.wait_for(|depths| depths.first == 0).await.unwrap();
    broker.close().await;
}
