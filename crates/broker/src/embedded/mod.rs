//! How does one process keep the promises of the seam with nothing but a directory?
//!
//! - `store.rs`: the thread that owns the database; everyone who waits shares one sync (`batch.rs`).
//! - `table.rs`: how messages lie on disk. `index.rs`: which one is next.
//! - `consumer.rs`: handing out and letting go; `ahead.rs`: what is taken and not handed out yet.
//! - `replies.rs`: answers within the process.
//! - `shared.rs`: what the thread and consumers share.

mod ahead;
mod batch;
mod consumer;
mod index;
mod replies;
mod shared;
mod store;
mod table;

use crate::route::Route;
use crate::{Depths, Lane, Message, PublishError, Refused, Replies, State, Unknown};
use batch::{Ask, Put};
use bytes::Bytes;
use replies::Listeners;
use shared::Shared;
use std::fs::{self, File, TryLockError};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;
use store::{Store, unix_ms};
use table::Table;
use tokio::sync::{oneshot, watch};

pub(crate) use consumer::{Consumer, Receipt};

const QUEUE_FILE: &str = "queue.db";
const LOCK_FILE: &str = "lock";
/// Publishes that may wait for their sync. Beyond it the disk is too slow: say so at once.
const INBOX: usize = 8_192;

/// Where the store lies.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The data directory; made if it is not there. One process at a time.
    pub directory: PathBuf,
    /// How long a publish may wait for its sync.
    pub publish_timeout: Duration,
}

/// The embedded store. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Embedded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asks: Asks,
    shared: Arc<Shared>,
    waiting: Arc<AtomicUsize>,
    state: watch::Receiver<State>,
    depths: watch::Receiver<Depths>,
    listeners: Listeners,
    publish_timeout: Duration,
}

/// The way to the store's thread.
#[derive(Clone, Debug)]
struct Asks(Sender<Ask>);

impl Asks {
    /// Asks. When the store has ended the ask is dropped, and with it the way to answer: that is how
    /// the asker learns.
    fn send(&self, ask: Ask) {
        let _ = self.0.send(ask);
    }
}

impl Embedded {
    /// Opens the directory and starts the store's thread.
    pub(crate) fn open(settings: &Settings) -> Result<Self, String> {
        let directory = &settings.directory;
        let sentence = |what: &str, reason: &dyn std::fmt::Display| {
            format!(
                "the data directory {} {what}: {reason}",
                directory.display()
            )
        };
        // Payloads lie in it: nobody else's business.
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory);
        made.map_err(|it| sentence("cannot be made", &it))?;
        let lock = lock(directory)?;
        let table = Table::open(&directory.join(QUEUE_FILE))
            .map_err(|it| sentence("holds a queue that cannot be opened", &it))?;
        let (asks, inbox) = mpsc::channel();
        let shared = Arc::new(Shared::default());
        let (state_sender, state) = watch::channel(State::Connected);
        let (depths_sender, depths) = watch::channel(Depths::default());
        let store = Store::new(
            table,
            Arc::clone(&shared),
            inbox,
            state_sender,
            depths_sender,
        )
        .map_err(|it| sentence("holds a queue that cannot be read", &it))?;
        let waiting = Arc::clone(&store.waiting);
        let run = move || {
            let waits_for_the_end = store.run();
            // Let go before anybody is told, so that the directory can be opened again at once.
            drop(lock);
            if let Some(done) = waits_for_the_end {
                let _ = done.send(());
            }
        };
        std::thread::Builder::new()
            .name("ringback-store".to_owned())
            .spawn(run)
            .map_err(|it| sentence("has no thread", &it))?;
        let publish_timeout = settings.publish_timeout;
        let asks = Asks(asks);
        Ok(Self(Arc::new(Inner {
            asks,
            shared,
            waiting,
            state,
            depths,
            listeners: Listeners::default(),
            publish_timeout,
        })))
    }

    pub(crate) async fn publish(
        &self,
        route: &Route,
        message: Message,
    ) -> Result<(), PublishError> {
        if let State::Blocked(_) = *self.0.state.borrow() {
            return Err(PublishError::Refused(Refused::Blocked));
        }
        if self.0.waiting.fetch_add(1, Ordering::Relaxed) >= INBOX {
            self.0.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(PublishError::Refused(Refused::InboxFull));
        }
        let (reply, durable) = oneshot::channel();
        if self
            .0
            .asks
            .0
            .send(Ask::Publish {
                put: put(route, message),
                reply,
            })
            .is_err()
        {
            self.0.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(PublishError::Refused(Refused::NotConnected));
        }
        match tokio::time::timeout(self.0.publish_timeout, durable).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(PublishError::Unknown(Unknown::ConnectionLost)),
            Err(_) => Err(PublishError::Unknown(Unknown::Deadline)),
        }
    }

    pub(crate) fn consume(&self, lane: Lane, prefetch: u16) -> Consumer {
        let Inner {
            asks,
            shared,
            state,
            ..
        } = &*self.0;
        Consumer::new(
            lane,
            prefetch,
            Arc::clone(shared),
            asks.clone(),
            state.clone(),
        )
    }

    pub(crate) fn replies(&self) -> Replies {
        self.0.listeners.listen()
    }

    pub(crate) fn reply(&self, address: &str, reply: &Bytes) {
        self.0.listeners.tell(address, reply);
    }

    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.0.state.clone()
    }

    pub(crate) fn depths(&self) -> watch::Receiver<Depths> {
        self.0.depths.clone()
    }

    pub(crate) async fn close(&self) {
        let (done, stopped) = oneshot::channel();
        self.0.asks.send(Ask::Stop { done });
        // An error means that it had stopped before.
        let _ = stopped.await;
    }
}

/// A message on its way into its lane.
fn put(route: &Route, message: Message) -> Put {
    let now = unix_ms();
    let (lane, due) = match route {
        Route::First => (Lane::First, now),
        Route::Record => (Lane::Journal, now),
        Route::Grave(lane) => (*lane, now),
        Route::Later(delay) => {
            // Never early: a part of a millisecond counts as a whole one, in the delay and in `now`,
            // which is cut to whole ones.
            let parts =
                u64::from(delay.subsec_nanos() % 1_000_000 > 0) + u64::from(!delay.is_zero());
            let wait = u64::try_from(delay.as_millis())
                .unwrap_or(u64::MAX)
                .saturating_add(parts);
            // SQLite's integers are signed.
            (
                Lane::Retry,
                now.saturating_add(wait).min(i64::MAX.unsigned_abs()),
            )
        }
    };
    Put { lane, due, message }
}

/// Holds the directory for this process, as long as the file is open: the lock dies with the process,
/// whatever kills it.
///
/// # Errors
/// A sentence naming the directory, when another process holds it or it cannot be written to.
pub fn lock(directory: &Path) -> Result<File, String> {
    let shown = directory.display();
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(directory.join(LOCK_FILE))
        .map_err(|error| format!("the data directory {shown} cannot be written to: {error}"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(format!(
            "the data directory {shown} is in use by another process"
        )),
        Err(TryLockError::Error(error)) => Err(format!(
            "the data directory {shown} cannot be locked: {error}"
        )),
    }
}
