//! A thread for each connection, so that writers share one sync and readers do not wait for it.
//!
//! The writer takes everything that waits (at most [`MAX_GROUP`]) and runs it in one transaction;
//! callers get their results when that is synced. Each piece of work has a savepoint, so that one
//! that fails is rolled back alone.

use std::time::{Duration, Instant};

use failpoints::crash_point;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::error::{classify, unavailable};
use crate::error::{JournalError, JournalResult};

/// The maximum number of pieces of work in one transaction.
const MAX_GROUP: usize = 32;
/// The maximum number of pieces of work that wait for the thread. Beyond it, callers wait to send
/// theirs.
const MAX_INBOX: usize = 64;
const WORK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a reader works on one piece of work: others wait for it. As `statement_timeout` in PostgreSQL.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// After so many instructions of SQLite's machine, a few milliseconds at most, a reader looks at the clock.
const INSTRUCTIONS: i32 = 10_000;

/// A handle to a thread that owns a connection.
#[derive(Clone, Debug)]
pub(super) struct ConnectionWorker(mpsc::Sender<WorkerMessage>);

enum WorkerMessage {
    Run(Box<dyn WorkItem>),
    Stop(oneshot::Sender<()>),
}

/// A piece of work, and the caller who waits for it.
trait WorkItem: Send {
    /// Whether the caller has stopped waiting.
    fn is_abandoned(&self) -> bool;
    /// Does the work, and keeps the result until [`WorkItem::reply`]. Returns whether it succeeded.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Sends the result, or the error if the work is not durable.
    fn reply(self: Box<Self>, durable: JournalResult<()>);
}

struct PendingWork<T, W> {
    work: Option<W>,
    result: Option<JournalResult<T>>,
    reply: oneshot::Sender<JournalResult<T>>,
}

impl<T, W> WorkItem for PendingWork<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(&mut self, connection: &Connection) -> bool {
        let result = self.work.take().map(|work| work(connection));
        self.result = result.map(|result| {
            let file = connection.path().unwrap_or_default();
            result.map_err(|error| classify(&error, file))
        });
        matches!(self.result, Some(Ok(_)))
    }

    fn reply(self: Box<Self>, durable: JournalResult<()>) {
        let result = self.result.unwrap_or_else(|| Err(closed()));
        let _ = self.reply.send(durable.and(result));
    }
}

impl ConnectionWorker {
    /// Starts the thread that writes, in shared transactions.
    pub(super) fn writer(connection: Connection) -> std::io::Result<Self> {
        Self::start("ringback-journal", connection, write)
    }

    /// Starts a thread that reads, one piece of work after the other.
    pub(super) fn reader(connection: Connection) -> std::io::Result<Self> {
        Self::start("ringback-reader", connection, read)
    }

    fn start(
        name: &str,
        connection: Connection,
        run: fn(&mut Connection, mpsc::Receiver<WorkerMessage>) -> Option<oneshot::Sender<()>>,
    ) -> std::io::Result<Self> {
        let (messages, inbox) = mpsc::channel(MAX_INBOX);
        let mut connection = connection;
        let run = move || {
            let stopped = run(&mut connection, inbox);
            // Close the file first, so that it can be opened again at once.
            drop(connection);
            if let Some(done) = stopped {
                let _ = done.send(());
            }
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)?;
        Ok(Self(messages))
    }

    /// Runs `work` on the thread and waits for it; for a writer, until it is durable. A writer does
    /// the work even if the caller stops waiting.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> JournalResult<T> {
        let (reply, result) = oneshot::channel();
        let item = Box::new(PendingWork {
            work: Some(work),
            result: None,
            reply,
        });
        let run = async {
            let sent = self.0.send(WorkerMessage::Run(item)).await;
            sent.map_err(|_| closed())?;
            result.await.unwrap_or_else(|_| Err(closed()))
        };
        let in_time = tokio::time::timeout(WORK_TIMEOUT, run).await;
        in_time.unwrap_or_else(|_| Err(JournalError::Unavailable("timed out".to_owned())))
    }

    /// Stops the thread after the work that was sent before.
    pub(super) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        // An error means that it has stopped already.
        if self.0.send(WorkerMessage::Stop(done)).await.is_ok() {
            let _ = stopped.await;
        }
    }
}

fn read(
    connection: &mut Connection,
    mut inbox: mpsc::Receiver<WorkerMessage>,
) -> Option<oneshot::Sender<()>> {
    loop {
        match inbox.blocking_recv()? {
            WorkerMessage::Run(item) if item.is_abandoned() => {}
            WorkerMessage::Run(mut item) => {
                stop_after(connection, READ_TIMEOUT);
                item.run(connection);
                item.reply(Ok(()));
            }
            WorkerMessage::Stop(done) => return Some(done),
        }
    }
}

/// Has what runs on the connection interrupted after this time.
fn stop_after(connection: &Connection, timeout: Duration) {
    let began = Instant::now();
    let is_late = move || began.elapsed() >= timeout;
    if let Err(error) = connection.progress_handler(INSTRUCTIONS, Some(is_late)) {
        tracing::warn!(%error, "a query of the journal cannot be bounded in time");
    }
}

fn write(
    connection: &mut Connection,
    mut inbox: mpsc::Receiver<WorkerMessage>,
) -> Option<oneshot::Sender<()>> {
    let mut group = Vec::with_capacity(MAX_GROUP);
    let stop = loop {
        let mut message = inbox.blocking_recv();
        let stop = loop {
            match message {
                Some(WorkerMessage::Run(item)) => group.push(item),
                Some(WorkerMessage::Stop(done)) => break Some(Some(done)),
                None => break Some(None),
            }
            if group.len() == MAX_GROUP {
                break None;
            }
            match inbox.try_recv() {
                Ok(next) => message = Some(next),
                // Empty; a closed channel is seen by the next receive.
                Err(_) => break None,
            }
        };
        run_group(connection, &mut group);
        if let Some(stop) = stop {
            break stop;
        }
    };
    // Makes the next start quick.
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "journal checkpoint failed; it is repeated at the next start");
    }
    stop
}

/// Runs a group in one transaction, and sends the results.
fn run_group(connection: &Connection, group: &mut Vec<Box<dyn WorkItem>>) {
    if group.is_empty() {
        return;
    }
    let committed = transact(connection, group);
    if let Err(error) = &committed {
        let file = connection.path();
        tracing::error!(%error, file, "the journal could not be written to disk");
        // SQLite may have rolled back by itself; then this error does not matter.
        let _ = connection.execute_batch("ROLLBACK");
    }
    let file = connection.path().unwrap_or_default();
    for item in group.drain(..) {
        let durable = committed.as_ref().map(|_| ());
        let durable = durable.map_err(|error| unavailable(error, file));
        item.reply(durable);
    }
    crash_point!("journal.answered");
}

fn transact(connection: &Connection, group: &mut [Box<dyn WorkItem>]) -> rusqlite::Result<()> {
    let run = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
    run("BEGIN IMMEDIATE")?;
    for item in group {
        run("SAVEPOINT item")?;
        // On a full disk SQLite may have rolled back everything: then `RELEASE` fails.
        if !item.run(connection) {
            run("ROLLBACK TO item")?;
        }
        run("RELEASE item")?;
    }
    crash_point!("journal.written");
    run("COMMIT")?;
    crash_point!("journal.committed");
    Ok(())
}

fn closed() -> JournalError {
    JournalError::Unavailable("closed".to_owned())
}

#[cfg(test)]
mod tests;
