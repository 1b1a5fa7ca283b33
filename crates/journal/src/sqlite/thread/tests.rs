//! Does a job that fails undo itself alone, and a failed commit everything?

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

async fn numbers(worker: &Worker) -> Vec<i64> {
    let read = |connection: &Connection| {
        let mut statement = connection.prepare("SELECT number FROM numbers ORDER BY 1")?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    worker.ask(read).await.unwrap()
}

/// Keeps the thread busy until the sender is dropped, so that what is asked meanwhile shares a
/// transaction.
fn busy(worker: &Worker) -> mpsc::Sender<()> {
    let (go, wait) = mpsc::channel::<()>();
    let worker = worker.clone();
    tokio::spawn(async move {
        let work = move |_: &Connection| {
            let _ = wait.recv();
            Ok(())
        };
        worker.ask(work).await
    });
    go
}

#[tokio::test]
async fn a_job_that_fails_undoes_itself_alone() {
    let worker = Worker::writer(in_memory()).unwrap();
    let go = busy(&worker);
    tokio::task::yield_now().await;
    let good = worker.ask(|it| insert(it, 1));
    let bad = worker.ask(|it| {
        insert(it, 2)?;
        insert(it, 1)
    });
    let other = worker.ask(|it| insert(it, 3));
    let release = async { drop(go) };
    let (good, bad, other, ()) = tokio::join!(good, bad, other, release);
    assert!(good.is_ok() && other.is_ok());
    assert!(matches!(bad, Err(JournalError::Refused(_))), "{bad:?}");
    assert_eq!(numbers(&worker).await, [1, 3]);
}

#[tokio::test]
async fn a_transaction_that_is_lost_is_told_to_everybody_in_it() {
    let worker = Worker::writer(in_memory()).unwrap();
    let go = busy(&worker);
    tokio::task::yield_now().await;
    let good = worker.ask(|it| insert(it, 1));
    // As SQLite does by itself when the disk is full.
    let lost = worker.ask(|it| it.execute_batch("ROLLBACK; NONSENSE"));
    let release = async { drop(go) };
    let (good, lost, ()) = tokio::join!(good, lost, release);
    for told in [good, lost] {
        assert!(
            matches!(told, Err(JournalError::Unavailable(_))),
            "{told:?}"
        );
    }
    assert!(worker.ask(|it| insert(it, 4)).await.is_ok(), "it goes on");
    assert_eq!(numbers(&worker).await, [4]);
}

#[tokio::test]
async fn whatever_was_asked_before_the_stop_is_done() {
    let worker = Worker::writer(in_memory()).unwrap();
    let asked = worker.ask(|it| insert(it, 1));
    let (asked, ()) = tokio::join!(asked, worker.stop());
    assert!(asked.is_ok());
    let late = worker.ask(|it| insert(it, 2)).await;
    assert!(
        matches!(late, Err(JournalError::Unavailable(_))),
        "{late:?}"
    );
    worker.stop().await;
}
