//! What this disk can do at best: one sync at a time, and a bare loop in which many share a sync.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use tests::cleanup::TempDirectory;

use super::rate;

/// About the size of a callback in the queue.
pub(crate) const BODY_BYTES: usize = 512;
/// As in the product.
const MAX_BATCH: usize = 512;

/// Appends of [`BODY_BYTES`] per second, each followed by `fdatasync`, one after the other.
pub(crate) fn raw_syncs(time: Duration) -> f64 {
    let temp = TempDirectory::new("bench");
    let mut file = File::create(temp.path().join("raw")).expect("a file");
    let body = [b'x'; BODY_BYTES];
    let (begun, mut count) = (Instant::now(), 0);
    while begun.elapsed() < time {
        file.write_all(&body).expect("space");
        file.sync_data().expect("a sync");
        count += 1;
    }
    rate(count, begun.elapsed())
}

/// What the bare loop does with a message once it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Keeps it.
    Keep,
    /// Deletes it without waiting for that: the cycle of a delivered callback.
    Delete,
}

enum Command {
    Insert(oneshot::Sender<i64>),
    Delete(i64),
}

/// A producer deletes a message after storing this many more: deliveries lag behind accepts.
const LAG: usize = 16;

/// Inserts per second by producers that each wait for the commit of their last one: one thread, one
/// SQLite table without a second index, WAL and `synchronous=FULL` as in the product.
pub(crate) async fn group_commits(producers: usize, then: Then, time: Duration) -> f64 {
    let temp = TempDirectory::new("bench");
    let (commands, inbox) = mpsc::channel();
    let file = temp.path().join("bare.db");
    let writer = std::thread::spawn(move || write(&file, &inbox));
    let (begun, over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for _ in 0..producers {
        let (commands, over) = (commands.clone(), over.clone());
        tasks.spawn(async move { produce(then, &commands, &over).await });
    }
    drop(commands);
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done.expect("a producer");
    }
    let rate = rate(count, begun.elapsed());
    writer.join().expect("the writer");
    rate
}

async fn produce(then: Then, commands: &Sender<Command>, over: &AtomicBool) -> u64 {
    let (mut count, mut stored) = (0, VecDeque::with_capacity(LAG + 1));
    while !over.load(Ordering::Relaxed) {
        let (reply, durable) = oneshot::channel();
        commands.send(Command::Insert(reply)).expect("the writer");
        let number = durable.await.expect("a commit");
        if then == Then::Delete {
            stored.push_back(number);
        }
        if stored.len() > LAG
            && let Some(number) = stored.pop_front()
        {
            commands.send(Command::Delete(number)).expect("the writer");
        }
        count += 1;
    }
    count
}

fn write(file: &Path, inbox: &Receiver<Command>) {
    let connection = Connection::open(file).expect("a database");
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .expect("WAL");
    connection
        .pragma_update(None, "synchronous", "FULL")
        .expect("FULL");
    let table = "CREATE TABLE messages (number INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT";
    connection.execute_batch(table).expect("a table");
    let body = [b'x'; BODY_BYTES];
    let (mut replies, mut last) = (Vec::with_capacity(MAX_BATCH), 0_i64);
    while let Ok(first) = inbox.recv() {
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("a transaction");
        let commands = std::iter::once(first).chain(inbox.try_iter());
        for command in commands.take(MAX_BATCH) {
            match command {
                Command::Insert(reply) => {
                    last += 1;
                    connection
                        .prepare_cached("INSERT INTO messages (number, body) VALUES (?1, ?2)")
                        .and_then(|mut insert| insert.execute(params![last, &body[..]]))
                        .expect("an insert");
                    replies.push((reply, last));
                }
                Command::Delete(number) => {
                    connection
                        .prepare_cached("DELETE FROM messages WHERE number = ?1")
                        .and_then(|mut delete| delete.execute([number]))
                        .expect("a delete");
                }
            }
        }
        connection.execute_batch("COMMIT").expect("a commit");
        for (reply, number) in replies.drain(..) {
            let _ = reply.send(number);
        }
    }
}
