//! How do many that wait for durability share one sync, and readers wait for none of them?
//!
//! Each connection has a thread. The writing one takes everything that waits (at most
//! [`MOST_TOGETHER`]) and does it in one transaction; whoever asked is answered when that is synced.
//! Within it every job has a savepoint: one that fails undoes itself alone.

use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::journal::JournalError;

/// Jobs in one transaction.
const MOST_TOGETHER: usize = 32;
/// Jobs that wait for the thread. Beyond it, askers wait.
const INBOX: usize = 64;
/// Longer is too slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to a thread that owns a connection.
#[derive(Clone, Debug)]
pub(super) struct Worker(mpsc::Sender<Ask>);

enum Ask {
    Do(Box<dyn Job>),
    Stop(oneshot::Sender<()>),
}

/// A piece of work and whoever waits for it.
trait Job: Send {
    /// Whether nobody waits any more.
    fn is_abandoned(&self) -> bool;
    /// Works. The answer is kept until [`Job::answer`]. Returns whether all went well.
    fn perform(&mut self, connection: &Connection) -> bool;
    /// Answers, with an error where what was done is not durable.
    fn answer(self: Box<Self>, durable: Result<(), JournalError>);
}

struct Once<T, W> {
    work: Option<W>,
    done: Option<Result<T, JournalError>>,
    reply: oneshot::Sender<Result<T, JournalError>>,
}

impl<T, W> Job for Once<T, W>
where
    T: Send,
    W: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn perform(&mut self, connection: &Connection) -> bool {
        self.done = self.work.take().map(|work| work(connection).map_err(ours));
        matches!(self.done, Some(Ok(_)))
    }

    fn answer(self: Box<Self>, durable: Result<(), JournalError>) {
        let done = self.done.unwrap_or_else(|| Err(closed()));
        let _ = self.reply.send(durable.and(done));
    }
}

impl Worker {
    /// Starts the thread that does writing work, in shared transactions.
    pub(super) fn writer(connection: Connection) -> std::io::Result<Self> {
        Self::start("ringback-journal", connection, write)
    }

    /// Starts a thread that does reading work, one by one.
    pub(super) fn reader(connection: Connection) -> std::io::Result<Self> {
        Self::start("ringback-reader", connection, read)
    }

    fn start(
        name: &str,
        connection: Connection,
        run: fn(&mut Connection, mpsc::Receiver<Ask>) -> Option<oneshot::Sender<()>>,
    ) -> std::io::Result<Self> {
        let (asks, inbox) = mpsc::channel(INBOX);
        let mut connection = connection;
        let run = move || {
            let waits_for_the_end = run(&mut connection, inbox);
            // Let go before anybody is told, so that the file can be opened again at once.
            drop(connection);
            if let Some(done) = waits_for_the_end {
                let _ = done.send(());
            }
        };
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)?;
        Ok(Self(asks))
    }

    /// Has `work` done and waits for it; for a writer, until it is durable. Work of a writer is
    /// done even if the wait is given up.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, JournalError> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Once {
            work: Some(work),
            done: None,
            reply,
        });
        let asked = async {
            let sent = self.0.send(Ask::Do(job)).await;
            sent.map_err(|_| closed())?;
            answer.await.unwrap_or_else(|_| Err(closed()))
        };
        let in_time = tokio::time::timeout(PATIENCE, asked).await;
        in_time.unwrap_or_else(|_| Err(JournalError::Unavailable("too slow".to_owned())))
    }

    /// Ends the thread after what was asked before.
    pub(super) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        // An error means that it had stopped before.
        if self.0.send(Ask::Stop(done)).await.is_ok() {
            let _ = stopped.await;
        }
    }
}

fn read(
    connection: &mut Connection,
    mut inbox: mpsc::Receiver<Ask>,
) -> Option<oneshot::Sender<()>> {
    loop {
        match inbox.blocking_recv()? {
            Ask::Do(job) if job.is_abandoned() => {}
            Ask::Do(mut job) => {
                job.perform(connection);
                job.answer(Ok(()));
            }
            Ask::Stop(done) => return Some(done),
        }
    }
}

fn write(
    connection: &mut Connection,
    mut inbox: mpsc::Receiver<Ask>,
) -> Option<oneshot::Sender<()>> {
    let mut jobs = Vec::with_capacity(MOST_TOGETHER);
    let stop = loop {
        let mut ask = inbox.blocking_recv();
        let stop = loop {
            match ask {
                Some(Ask::Do(job)) => jobs.push(job),
                Some(Ask::Stop(done)) => break Some(Some(done)),
                None => break Some(None),
            }
            if jobs.len() == MOST_TOGETHER {
                break None;
            }
            match inbox.try_recv() {
                Ok(next) => ask = Some(next),
                // An end is seen by the next look.
                Err(_) => break None,
            }
        };
        together(connection, &mut jobs);
        if let Some(stop) = stop {
            break stop;
        }
    };
    // The next start is quick.
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "the journal's log could not be folded in; the next start does it");
    }
    stop
}

/// Does all jobs in one transaction, and answers them.
fn together(connection: &Connection, jobs: &mut Vec<Box<dyn Job>>) {
    if jobs.is_empty() {
        return;
    }
    let done = transact(connection, jobs);
    if let Err(error) = &done {
        tracing::error!(%error, "the journal's disk takes no records");
        // SQLite may have rolled back by itself; a second time is an error of no matter.
        let _ = connection.execute_batch("ROLLBACK");
    }
    for job in jobs.drain(..) {
        let durable = done.as_ref().map(|_| ()).map_err(unavailable);
        job.answer(durable);
    }
}

fn transact(connection: &Connection, jobs: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    let run = |sql| connection.prepare_cached(sql)?.execute([]).map(drop);
    run("BEGIN IMMEDIATE")?;
    for job in jobs {
        run("SAVEPOINT job")?;
        // After a full disk SQLite may have rolled back everything: `RELEASE` then fails.
        if !job.perform(connection) {
            run("ROLLBACK TO job")?;
        }
        run("RELEASE job")?;
    }
    run("COMMIT")
}

/// Whether another try may help.
#[expect(clippy::needless_pass_by_value, reason = "it is the end of the error")]
fn ours(error: rusqlite::Error) -> JournalError {
    use rusqlite::ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    let its_own = matches!(
        error.sqlite_error_code(),
        Some(ConstraintViolation | TooBig | TypeMismatch)
    );
    if its_own {
        return JournalError::Refused(error.to_string());
    }
    unavailable(&error)
}

fn unavailable(error: &rusqlite::Error) -> JournalError {
    JournalError::Unavailable(error.to_string())
}

fn closed() -> JournalError {
    JournalError::Unavailable("it is closed".to_owned())
}

#[cfg(test)]
mod tests;
