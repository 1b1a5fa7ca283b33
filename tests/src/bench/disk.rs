//! What can this disk do at best? One sync at a time, and a bare loop in which many share a sync.

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

use super::rate;
use crate::nest::Nest;

/// About what a callback takes in the queue.
pub const BODY_BYTES: usize = 512;
/// As in the product.
const MOST_TOGETHER: usize = 512;

/// Appends of [`BODY_BYTES`], each followed by `fdatasync`, one after the other: a second.
pub fn raw_syncs(time: Duration) -> f64 {
    let nest = Nest::new("bench");
    let mut file = File::create(nest.directory().join("raw")).expect("a file");
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
pub enum Then {
    /// It is kept.
    Keep,
    /// It is deleted, and nobody waits for that: the cycle of a delivered callback.
    Delete,
}

enum Ask {
    Insert(oneshot::Sender<i64>),
    Delete(i64),
}

/// A producer deletes a message when it has stored so many more: deliveries lag behind accepts.
const LAG: usize = 16;

/// Inserts a second by so many producers that each wait for the commit of their last one: one
/// thread, one SQLite table without a second index, WAL and `synchronous=FULL` as in the product.
pub async fn group_commits(producers: usize, then: Then, time: Duration) -> f64 {
    let nest = Nest::new("bench");
    let (asks, inbox) = mpsc::channel();
    let file = nest.directory().join("bare.db");
    let writer = std::thread::spawn(move || write(&file, &inbox));
    let (begun, over) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for _ in 0..producers {
        let (asks, over) = (asks.clone(), over.clone());
        tasks.spawn(async move { produce(then, &asks, &over).await });
    }
    drop(asks);
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

async fn produce(then: Then, asks: &Sender<Ask>, over: &AtomicBool) -> u64 {
    let (mut count, mut stored) = (0, VecDeque::with_capacity(LAG + 1));
    while !over.load(Ordering::Relaxed) {
        let (reply, durable) = oneshot::channel();
        asks.send(Ask::Insert(reply)).expect("the writer");
        let number = durable.await.expect("a commit");
        if then == Then::Delete {
            stored.push_back(number);
        }
        if stored.len() > LAG
            && let Some(number) = stored.pop_front()
        {
            asks.send(Ask::Delete(number)).expect("the writer");
        }
        count += 1;
    }
    count
}

fn write(file: &Path, inbox: &Receiver<Ask>) {
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
    let (mut replies, mut last) = (Vec::with_capacity(MOST_TOGETHER), 0_i64);
    while let Ok(first) = inbox.recv() {
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("a transaction");
        let asks = std::iter::once(first).chain(inbox.try_iter());
        for ask in asks.take(MOST_TOGETHER) {
            match ask {
                Ask::Insert(reply) => {
                    last += 1;
                    connection
                        .prepare_cached("INSERT INTO messages (number, body) VALUES (?1, ?2)")
                        .and_then(|mut insert| insert.execute(params![last, &body[..]]))
                        .expect("an insert");
                    replies.push((reply, last));
                }
                Ask::Delete(number) => {
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
