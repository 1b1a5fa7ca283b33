//! Work that fails is rolled back alone; a failed commit rolls back everything.

use std::sync::mpsc;

use super::*;

fn in_memory() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    let table = "CREATE TABLE numbers (number INTEGER NOT NULL UNIQUE) STRICT";
    connection.execute_batch(table).unwrap();
    connection
}

fn insert(connection: &Connection, number: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO numbers VALUES (?1)";
    connection.execute(sql, [number]).map(drop)
}

async fn numbers(worker: &ConnectionWorker) -> Vec<i64> {
    let read = |connection: &Connection| {
        let mut statement = connection.prepare("SELECT number FROM numbers ORDER BY 1")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    worker.run(read).await.unwrap()
}

/// Blocks the thread until the sender is dropped, so that the work sent meanwhile shares a
/// transaction.
fn block(worker: &ConnectionWorker) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel::<()>();
    let worker = worker.clone();
    tokio::spawn(async move {
        let work = move |_: &Connection| {
            let _ = wait.recv();
            Ok(())
        };
        worker.run(work).await
    });
    go
}

#[tokio::test]
async fn work_that_fails_is_rolled_back_alone() {
    let worker = ConnectionWorker::writer(in_memory()).unwrap();
    let go = block(&worker);
    tokio::task::yield_now().await;
    let good = worker.run(|connection| insert(connection, 1));
    let bad = worker.run(|connection| {
        insert(connection, 2)?;
        insert(connection, 1)
    });
    let other = worker.run(|connection| insert(connection, 3));
    let release = async { drop(go) };
    let (good, bad, other, ()) = tokio::join!(good, bad, other, release);
    assert!(good.is_ok() && other.is_ok());
    assert!(matches!(bad, Err(JournalError::Refused(_))), "{bad:?}");
    assert_eq!(numbers(&worker).await, [1, 3]);
}

#[test]
fn a_query_that_takes_too_long_is_stopped_and_the_next_one_runs() {
    let connection = in_memory();
    let endless =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let run = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    stop_after(&connection, Duration::ZERO);
    let error = classify(&run(endless).unwrap_err(), "");
    assert!(matches!(error, JournalError::TooSlow(_)), "{error}");
    stop_after(&connection, Duration::from_secs(60));
    assert_eq!(run("SELECT 1"), Ok(1));
}

#[tokio::test]
async fn a_failed_transaction_fails_all_work_in_it() {
    let worker = ConnectionWorker::writer(in_memory()).unwrap();
    let go = block(&worker);
    tokio::task::yield_now().await;
    let good = worker.run(|connection| insert(connection, 1));
    // As SQLite does by itself when the disk is full.
    let lost = worker.run(|connection| connection.execute_batch("ROLLBACK; NONSENSE"));
    let release = async { drop(go) };
    let (good, lost, ()) = tokio::join!(good, lost, release);
    for result in [good, lost] {
        assert!(
            matches!(result, Err(JournalError::Unavailable(_))),
            "{result:?}"
        );
    }
    assert!(
        worker.run(|connection| insert(connection, 4)).await.is_ok(),
        "the next work succeeds"
    );
    assert_eq!(numbers(&worker).await, [4]);
}

#[tokio::test]
async fn work_sent_before_the_stop_is_done() {
    let worker = ConnectionWorker::writer(in_memory()).unwrap();
    let sent = worker.run(|connection| insert(connection, 1));
    let (sent, ()) = tokio::join!(sent, worker.stop());
    assert!(sent.is_ok());
    let late = worker.run(|connection| insert(connection, 2)).await;
    assert!(
        matches!(late, Err(JournalError::Unavailable(_))),
        "{late:?}"
    );
    worker.stop().await;
}
