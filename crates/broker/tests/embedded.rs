//! The embedded store passes the conformance suite, and has further guarantees.

#![expect(clippy::unwrap_used, reason = "a broken promise must fail loudly")]

use broker::conformance::{BrokerFixture, exercise, exercise_crash};
use broker::{
    Broker, BrokerMessage, ConnectionState, Depths, EmbeddedOptions, PublishError, Queue,
    RefusedReason, Removal, Settlement,
};
use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt as _, PermissionsExt};
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
    open_with_floor(directory, 0)
}

fn open_with_floor(directory: &Path, min_free_bytes: u64) -> Result<Broker, String> {
    let publish_timeout = Duration::from_secs(5);
    Broker::open(&EmbeddedOptions {
        directory: directory.to_owned(),
        publish_timeout,
        min_free_bytes,
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
    assert_eq!(depths.borrow().first.current(), Some(0));
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
    depths
        .wait_for(|depths| depths.first.current() == Some(0))
        .await
        .unwrap();
    broker.close().await;
}

/// A floor that no disk satisfies.
const ALWAYS_LOW: u64 = 1 << 60;

async fn wait_for(broker: &Broker, mut wanted: impl FnMut(&Depths) -> bool) {
    let mut depths = broker.depths();
    let seen = depths.wait_for(|depths| wanted(depths));
    let seen = tokio::time::timeout(Duration::from_secs(30), seen).await;
    seen.unwrap().unwrap();
}

#[tokio::test]
async fn below_the_floor_new_messages_are_refused_and_everything_else_goes_on() {
    let disk = OnDisk::new("floor");
    let broker = open(&disk.root).unwrap();
    broker.publish(message("accepted before")).await.unwrap();
    broker.close().await;
    let broker = open_with_floor(&disk.root, ALWAYS_LOW).unwrap();
    let (publishing, consuming) = (broker.publishing(), broker.consuming());
    match &*publishing.borrow() {
        ConnectionState::Blocked(reason) => {
            assert!(reason.contains("broker.min_free_bytes"), "{reason}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(*consuming.borrow(), ConnectionState::Connected);
    let free = *broker.free_disk_bytes().unwrap().borrow();
    assert!(free.is_some_and(|free| free > 0 && free < ALWAYS_LOW));
    let refused = Err(PublishError::Refused(RefusedReason::LowDisk));
    assert_eq!(broker.publish(message("new")).await, refused);
    let later = broker.publish_later(message("new"), Duration::from_secs(1));
    assert_eq!(later.await, refused);
    broker.publish_record(message("record")).await.unwrap();
    let mut first = broker.consume(Queue::First, 1);
    let received = first.next().await;
    assert_eq!(received.body, "accepted before");
    let follow_up = Settlement::Reschedule {
        delay: Duration::from_millis(10),
        message: message("retry"),
    };
    received.settle(follow_up).await.unwrap();
    let mut retry = broker.consume(Queue::Retry, 1);
    let dead_letter = Settlement::DeadLetter {
        reason: "exhausted",
        message: message("dead"),
    };
    retry.next().await.settle(dead_letter).await.unwrap();
    first.close().await;
    retry.close().await;
    broker.close().await;
    let broker = open(&disk.root).unwrap();
    wait_for(&broker, |depths| {
        (depths.dead.current(), depths.journal.current()) == (Some(1), Some(1))
    })
    .await;
    broker.publish(message("new")).await.unwrap();
    broker.close().await;
}

#[tokio::test]
async fn a_removed_message_leaves_its_space_to_new_ones() {
    const MESSAGES: usize = 60;
    let disk = OnDisk::new("removed");
    let broker = open(&disk.root).unwrap();
    let file = disk.root.join("queue.db");
    let body = vec![b'x'; 250_000];
    let a_week = Duration::from_secs(604_800);
    let publish_all = async |broker: &Broker| {
        for number in 0..MESSAGES {
            let waiting = BrokerMessage {
                body: body.clone().into(),
                ..message(&number.to_string())
            };
            broker.publish_later(waiting, a_week).await.unwrap();
        }
    };
    publish_all(&broker).await;
    wait_for(&broker, |depths| depths.delayed.current() == Some(60)).await;
    // Closing moves the write-ahead log into the file.
    broker.close().await;
    let full = fs::metadata(&file).unwrap().len();
    assert!(full >= 60 * 250_000);
    let broker = open(&disk.root).unwrap();
    let mark = broker.publish_mark();
    for number in 0..MESSAGES {
        let removal = broker.remove_waiting(number.to_string(), mark).await;
        assert_eq!(removal, Removal::Removed(1));
    }
    wait_for(&broker, |depths| depths.delayed.current() == Some(0)).await;
    let again = broker.remove_waiting("0".to_owned(), mark).await;
    assert_eq!(again, Removal::Removed(0));
    publish_all(&broker).await;
    broker.close().await;
    let refilled = fs::metadata(&file).unwrap().len();
    assert!(refilled <= full + full / 20, "{full} grew to {refilled}");
}

#[tokio::test]
async fn a_message_is_held_until_it_is_settled_whatever_its_queue() {
    let disk = OnDisk::new("held");
    let broker = open(&disk.root).unwrap();
    let a_day = Duration::from_secs(86_400);
    let with_id = |id: &str| BrokerMessage {
        id: id.to_owned(),
        ..message(id)
    };
    for id in ["first", "in-flight", "dead", "gone", "unreadable"] {
        broker.publish(with_id(id)).await.unwrap();
    }
    broker.publish_later(with_id("later"), a_day).await.unwrap();
    let mut consumer = broker.consume(Queue::First, 9);
    let mut in_flight = Vec::new();
    for _ in 0..5 {
        let received = consumer.next().await;
        let settlement = match &*received.body {
            b"gone" => Settlement::Complete,
            b"dead" => Settlement::DeadLetter {
                reason: "test",
                message: with_id("dead"),
            },
            _ => {
                in_flight.push(received);
                continue;
            }
        };
        received.settle(settlement).await.unwrap();
    }
    let ids = ["first", "in-flight", "dead", "gone", "later", "unknown"];
    let held = async |broker: &Broker| {
        let held = broker.held_ids(ids.map(str::to_owned).to_vec()).await;
        let mut held: Vec<String> = held.unwrap().into_iter().collect();
        held.sort();
        held
    };
    let expected = ["dead", "first", "in-flight", "later"];
    // A settlement is durable soon after it was handed over.
    for _ in 0..200 {
        if held(&broker).await == expected {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(held(&broker).await, expected);
    drop(in_flight);
    consumer.close().await;
    assert_eq!(held(&broker).await, expected);
    broker.close().await;
}

#[tokio::test]
async fn a_message_in_delivery_is_not_removed_and_one_that_only_waits_is() {
    let disk = OnDisk::new("leased");
    let broker = open(&disk.root).unwrap();
    let soon = Duration::from_millis(1);
    let mut consumer = broker.consume(Queue::Retry, 1);
    broker.publish_later(message("other"), soon).await.unwrap();
    let other = consumer.next().await;
    for _ in 0..3 {
        broker.publish_later(message("same"), soon).await.unwrap();
    }
    other.settle(Settlement::Complete).await.unwrap();
    let in_delivery = consumer.next().await;
    let mark = broker.publish_mark();
    let removal = broker.remove_waiting("same".to_owned(), mark).await;
    // With the bodies in memory a consumer takes one message at a time.
    assert_eq!(removal, Removal::Removed(2));
    in_delivery.settle(Settlement::Complete).await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(250), consumer.next()).await;
    assert!(more.is_err(), "a removed message was delivered");
    consumer.close().await;
    broker.close().await;
    let broker = open(&disk.root).unwrap();
    wait_for(&broker, |depths| depths.backlog().current() == Some(0)).await;
    broker.close().await;
}

#[tokio::test]
async fn a_message_dropped_after_a_hundred_deliveries_goes_to_the_delivery_limit() {
    let disk = OnDisk::new("drops");
    let broker = open(&disk.root).unwrap();
    broker.publish(message("deadly")).await.unwrap();
    broker.close().await;
    let database = rusqlite::Connection::open(disk.root.join("queue.db")).unwrap();
    database
        .execute("UPDATE messages SET deliveries = 99", [])
        .unwrap();
    drop(database);
    let broker = open(&disk.root).unwrap();
    let mut first = broker.consume(Queue::First, 1);
    drop(first.next().await);
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
async fn the_files_are_their_owners_alone_even_in_a_directory_that_all_can_read() {
    let disk = OnDisk::new("private");
    fs::set_permissions(&disk.root, Permissions::from_mode(0o755)).unwrap();
    // As version 0.2.0 left them.
    open(&disk.root).unwrap().close().await;
    for file in ["queue.db", "lock"] {
        fs::set_permissions(disk.root.join(file), Permissions::from_mode(0o644)).unwrap();
    }
    fs::write(disk.root.join("queue.db-shm"), "").unwrap();
    for _ in 0..2 {
        let broker = open(&disk.root).unwrap();
        broker.publish(message("secret")).await.unwrap();
        for file in ["queue.db", "queue.db-wal", "queue.db-shm", "lock"] {
            let mode = fs::metadata(disk.root.join(file)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600, "{file}");
        }
        broker.close().await;
    }
}

#[tokio::test]
async fn the_age_of_the_oldest_due_message_is_reported_and_what_is_delayed_is_not_due() {
    let disk = OnDisk::new("age");
    let broker = open(&disk.root).unwrap();
    let a_day = Duration::from_secs(86_400);
    broker.publish_later(message("later"), a_day).await.unwrap();
    wait_for(&broker, |depths| {
        depths.delayed.current() == Some(1) && depths.oldest_due_age.is_none()
    })
    .await;
    broker.publish(message("now")).await.unwrap();
    let second = Duration::from_secs(1);
    wait_for(&broker, |depths| {
        depths.oldest_due_age.is_some_and(|age| age >= second)
    })
    .await;
    // The same with the queue in memory, and none once it is taken.
    let mut consumer = broker.consume(Queue::First, 1);
    let received = consumer.next().await;
    wait_for(&broker, |depths| depths.oldest_due_age.is_none()).await;
    drop(received);
    consumer.close().await;
    wait_for(&broker, |depths| {
        depths.oldest_due_age.is_some_and(|age| age >= second)
    })
    .await;
    broker.close().await;
}

#[tokio::test]
async fn what_is_stored_is_known_in_bytes_and_less_once_it_is_removed() {
    const BODY: usize = 256 * 1024;
    let disk = OnDisk::new("bytes");
    let broker = open(&disk.root).unwrap();
    let stored = || broker.depths().borrow().stored_bytes;
    wait_for(&broker, |depths| depths.stored_bytes.is_some()).await;
    let (empty, bytes) = (stored().unwrap(), BODY as u64);
    let large = BrokerMessage {
        body: vec![b'a'; BODY].into(),
        ..message("large")
    };
    broker.publish(large).await.unwrap();
    wait_for(&broker, |depths| {
        let stored = depths.stored_bytes.unwrap();
        (empty + bytes..empty + 2 * bytes).contains(&stored)
    })
    .await;
    let mut consumer = broker.consume(Queue::First, 1);
    let received = consumer.next().await;
    received.settle(Settlement::Complete).await.unwrap();
    wait_for(&broker, |depths| {
        depths.stored_bytes.unwrap() < empty + bytes / 4
    })
    .await;
    broker.close().await;
}

/// A directory with a queue as a killed process leaves it: part of it in the file, part in the log.
async fn killed(disk: &OnDisk) -> PathBuf {
    let before = disk.directory_after(0).join("queue");
    let broker = open(&before).unwrap();
    for number in 0..200 {
        let body = vec![b'x'; 3_000];
        let message = BrokerMessage {
            body: body.into(),
            ..message(&number.to_string())
        };
        broker.publish(message).await.unwrap();
    }
    broker.close().await;
    let broker = open(&before).unwrap();
    for number in 0..20 {
        broker.publish(message(&number.to_string())).await.unwrap();
    }
    disk.crash().await;
    broker.close().await;
    disk.directory_after(1).join("queue")
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_queue_cut_to_half_is_refused_at_the_start_with_the_file_and_the_next_step() {
    let disk = OnDisk::new("cut");
    let directory = killed(&disk).await;
    change(&directory.join("queue.db"), |bytes| {
        bytes.truncate(bytes.len() / 2);
    });
    let refusal = open(&directory).unwrap_err();
    assert!(refusal.contains("queue.db is cut off"), "{refusal}");
    assert!(refusal.contains("restore a backup"), "{refusal}");
}

#[tokio::test]
async fn a_scribbled_write_ahead_log_is_refused_at_the_start_and_a_torn_tail_is_not() {
    let disk = OnDisk::new("scribbled");
    let directory = killed(&disk).await;
    let log = directory.join("queue.db-wal");
    change(&log, |bytes| {
        let cut = bytes.len() - 1_000;
        bytes.truncate(cut);
    });
    let torn = fs::read(&log).unwrap();
    open(&directory).unwrap().close().await;
    fs::write(&log, torn).unwrap();
    change(&log, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle..middle + 64].fill(0xA5);
    });
    let refusal = open(&directory).unwrap_err();
    assert!(refusal.contains("queue.db-wal"), "{refusal}");
    assert!(refusal.contains("truncate -s "), "{refusal}");
    assert!(log.exists());
}

#[tokio::test]
async fn a_queue_that_is_damaged_while_it_runs_accepts_nothing_more() {
    let disk = OnDisk::new("damaged");
    let directory = killed(&disk).await;
    let broker = open(&directory).unwrap();
    broker.publish(message("before")).await.unwrap();
    // SQLite reads most of these pages again: a page of bodies, then pages of the index.
    let file = directory.join("queue.db");
    let damaged = fs::OpenOptions::new().write(true).open(&file).unwrap();
    let length = damaged.metadata().unwrap().len();
    let junk = vec![0xA5; usize::try_from(length).unwrap()];
    damaged.write_all_at(&junk, 0).unwrap();
    // Closing a file drops SQLite's locks on it in this process; nobody else opens it here.
    drop(damaged);
    let mut consumer = broker.consume(Queue::First, 200);
    let mut state = broker.publishing();
    let work = async {
        loop {
            drop(consumer.next().await);
        }
    };
    let unusable = async {
        let seen = state.wait_for(ConnectionState::is_unusable).await;
        seen.unwrap().to_string()
    };
    let reason = tokio::select! {
        () = work => unreachable!(),
        reason = tokio::time::timeout(Duration::from_secs(30), unusable) => reason.unwrap(),
    };
    assert!(reason.contains("queue.db is damaged"), "{reason}");
    assert!(reason.contains("restore a backup"), "{reason}");
    for _ in 0..3 {
        let refused = broker.publish(message("after")).await;
        assert_eq!(refused, Err(PublishError::Refused(RefusedReason::Blocked)),);
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    drop(consumer);
    broker.close().await;
}

#[tokio::test]
async fn while_the_data_directory_is_gone_nothing_is_accepted_and_what_was_accepted_goes_on() {
    let disk = OnDisk::new("gone");
    let directory = disk.root.join("data");
    let moved = disk.root.join("moved");
    let broker = open(&directory).unwrap();
    broker.publish(message("accepted")).await.unwrap();
    fs::rename(&directory, &moved).unwrap();
    // The first one is written at once, before the thread looks again, and is not called accepted.
    assert!(broker.publish(message("gone")).await.is_err());
    let mut publishing = broker.publishing();
    let state = publishing.wait_for(ConnectionState::is_unusable).await;
    let reason = state.unwrap().to_string();
    assert!(reason.contains("removed or replaced"), "{reason}");
    assert!(reason.contains(directory.to_str().unwrap()), "{reason}");
    assert_eq!(*broker.consuming().borrow(), ConnectionState::Connected);
    // Another directory at the same place is not the one that is written.
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("queue.db"), "").unwrap();
    let refused = broker.publish(message("gone")).await;
    assert_eq!(refused, Err(PublishError::Refused(RefusedReason::Blocked)));
    let mut first = broker.consume(Queue::First, 1);
    let received = first.next().await;
    assert_eq!(received.body, "accepted");
    received.settle(Settlement::Complete).await.unwrap();
    first.close().await;
    fs::remove_dir_all(&directory).unwrap();
    fs::rename(&moved, &directory).unwrap();
    let connected = |state: &ConnectionState| *state == ConnectionState::Connected;
    publishing.wait_for(connected).await.unwrap();
    broker.publish(message("back")).await.unwrap();
    broker.close().await;
    let broker = open(&directory).unwrap();
    wait_for(&broker, |depths| {
        depths.first.current().is_some_and(|first| first >= 1)
    })
    .await;
    broker.close().await;
}
