//! Does the embedded store keep every promise of the seam, and its own?

#![expect(clippy::unwrap_used, reason = "a broken promise must fail loudly")]

use broker::conformance::{Rig, endure_a_crash, exercise};
use broker::{Broker, Lane, Message, Settlement, embedded};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Worlds in a directory that goes with the test.
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

    fn generation(&self, crashes: u32) -> PathBuf {
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
    Broker::open(&embedded::Settings {
        directory: directory.to_owned(),
        publish_timeout,
    })
}

impl Rig for OnDisk {
    async fn open(&self, name: &str) -> Broker {
        open(
            &self
                .generation(self.crashes.load(Ordering::Relaxed))
                .join(name),
        )
        .unwrap()
    }

    /// A process cannot be killed from inside; what a killed one leaves behind is its files as they
    /// lie, log and all. (The end-to-end tests kill the real process.)
    async fn crash(&self) {
        let crashes = self.crashes.fetch_add(1, Ordering::Relaxed);
        let (from, to) = (self.generation(crashes), self.generation(crashes + 1));
        for world in fs::read_dir(from).unwrap() {
            let world = world.unwrap().path();
            let copy = to.join(world.file_name().unwrap());
            fs::create_dir_all(&copy).unwrap();
            // The shared-memory file is left out: a crash does not keep it.
            for file in ["queue.db", "queue.db-wal"].map(|file| world.join(file)) {
                if file.exists() {
                    fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
                }
            }
        }
    }
}

fn message(body: &str) -> Message {
    Message {
        id: body.to_owned(),
        kind: "test",
        headers: Vec::new(),
        body: body.as_bytes().to_vec().into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_every_promise_of_the_seam() {
    let disk = OnDisk::new("conformance");
    exercise(&disk).await;
    endure_a_crash(&disk).await;
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
async fn a_file_that_is_no_queue_is_refused_and_kept() {
    let disk = OnDisk::new("garbage");
    let file = disk.root.join("queue.db");
    fs::write(
        &file,
        "this is not a database, but somebody's only copy of something",
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
async fn what_is_handed_out_after_a_hundred_restarts_goes_to_the_delivery_limit() {
    let disk = OnDisk::new("limit");
    let broker = open(&disk.root).unwrap();
    broker.publish(message("deadly")).await.unwrap();
    broker.close().await;
    for _ in 0..100 {
        let broker = open(&disk.root).unwrap();
        let mut lane = broker.consume(Lane::First, 1);
        let received = lane.next().await;
        assert!(received.redelivered);
        // The process dies with the message in hand.
        drop(received);
        drop(lane);
        broker.close().await;
    }
    let broker = open(&disk.root).unwrap();
    let mut first = broker.consume(Lane::First, 1);
    let mut limit = broker.consume(Lane::DeliveryLimit, 1);
    let received = tokio::select! {
        _ = first.next() => panic!("it was handed out once more"),
        received = limit.next() => received,
    };
    assert_eq!(received.body, "deadly");
    received.settle(Settlement::Done).await.unwrap();
    first.close().await;
    limit.close().await;
    broker.close().await;
}

#[tokio::test]
async fn what_was_read_ahead_waits_again_when_its_consumer_is_cancelled() {
    const MOST: usize = 10;
    let disk = OnDisk::new("ahead");
    let broker = open(&disk.root).unwrap();
    for number in 0..MOST {
        broker.publish(message(&number.to_string())).await.unwrap();
    }
    broker.close().await;
    // After a restart the bodies are on disk alone, and are read several at a time.
    let broker = open(&disk.root).unwrap();
    let mut first = broker.consume(Lane::First, 1);
    let in_hand = first.next().await;
    assert_eq!(in_hand.body, "0");
    first.cancel().await;
    let mut second = broker.consume(Lane::First, 1);
    for number in 1..MOST {
        let next = tokio::time::timeout(Duration::from_secs(10), second.next());
        let received = next.await.expect("what the first one gave back");
        assert_eq!(received.body, number.to_string());
        received.settle(Settlement::Done).await.unwrap();
    }
    in_hand.settle(Settlement::Done).await.unwrap();
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
async fn a_backlog_larger_than_memory_leaves_in_order_and_whole() {
    let disk = OnDisk::new("backlog");
    let broker = open(&disk.root).unwrap();
    let most = 50_000;
    let publishing = (0..50).map(|part| {
        let broker = broker.clone();
        tokio::spawn(async move {
            for number in 0..most / 50 {
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
    let mut lane = broker.consume(Lane::First, 100);
    let mut last = vec![-1; 50];
    for _ in 0..most {
        let received = lane.next().await;
        let text = String::from_utf8(received.body.to_vec()).unwrap();
        let (part, number) = text.split_once(' ').unwrap();
        let (part, number): (usize, i64) = (part.parse().unwrap(), number.parse().unwrap());
        assert_eq!(last[part] + 1, number, "part {part} is out of order");
        last[part] = number;
        received.settle(Settlement::Done).await.unwrap();
    }
    lane.close().await;
    let mut depths = broker.depths();
    depths.wait_for(|depths| depths.first == 0).await.unwrap();
    broker.close().await;
}
