//! The adapter's entry point.

use super::backup::refuse_unfinished;
use super::check::{check_database, log_of};
use super::clock::{StoreClock, SystemTimeSource, TimeSource};
use super::control::ControlListeners;
use super::directory::{self, QUEUE_FILE};
use super::queue::consumer::EmbeddedConsumer;
use super::replies::ReplyListeners;
use super::store::command::{NewMessage, StoreCommand, StoreHandle};
use super::store::files::DataFiles;
use super::store::held;
use super::store::schema::MessageTable;
use super::store::space::DiskSpace;
use super::store::state::QueueStates;
use super::store::thread::{StoreThread, Watched};
use crate::confirms::{ConfirmObserver, queue_of};
use crate::control::{Control, ControlRoute, ControlSender, MAX_UNREAD};
use crate::message::{BrokerMessage, Queue, Route};
use crate::publish_error::{PublishError, RefusedReason, UnknownReason};
use crate::replies::Replies;
use crate::state::{ConnectionState, Depths};
use bytes::Bytes;
use failpoints::crash_point;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc as channel, oneshot, watch};

/// The maximum number of publishes that wait for their sync. Beyond it the disk is too slow: refuse
/// at once.
const MAX_WAITING_PUBLISHES: usize = 8_192;

/// What the embedded adapter is built from.
#[derive(Clone, Debug)]
pub struct EmbeddedOptions {
    /// The data directory; created if missing. Used by one process at a time.
    pub directory: PathBuf,
    /// How long a publish may wait for its sync.
    pub publish_timeout: Duration,
    /// While less is free on the directory's disk, new callbacks are refused. 0: never.
    pub min_free_bytes: u64,
}

/// The embedded store. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedBroker(Arc<EmbeddedInner>);

#[derive(Debug)]
struct EmbeddedInner {
    store: StoreHandle,
    file: PathBuf,
    queues: Arc<QueueStates>,
    waiting_publishes: Arc<AtomicUsize>,
    durable_number: Arc<AtomicI64>,
    /// Whether the disk takes anything.
    state: watch::Receiver<ConnectionState>,
    /// Whether new callbacks are accepted.
    accepting: watch::Receiver<ConnectionState>,
    depths: watch::Receiver<Depths>,
    free_disk: watch::Receiver<Option<u64>>,
    listeners: ReplyListeners,
    control: Arc<ControlListeners>,
    publish_timeout: Duration,
    confirms: ConfirmObserver,
}

impl EmbeddedBroker {
    /// Opens the directory and starts the store's thread.
    pub(crate) fn open(options: &EmbeddedOptions) -> Result<Self, String> {
        Self::open_with(options, Arc::new(SystemTimeSource::new()))
    }

    pub(super) fn open_with(
        options: &EmbeddedOptions,
        time: Arc<dyn TimeSource>,
    ) -> Result<Self, String> {
        let directory = &options.directory;
        let sentence = |what: &str, reason: &dyn std::fmt::Display| {
            format!(
                "the data directory {} {what}: {reason}",
                directory.display()
            )
        };
        directory::create(directory).map_err(|error| sentence("cannot be created", &error))?;
        let lock = directory::lock_data_dir(directory)?;
        refuse_unfinished(directory)?;
        let clock = StoreClock::of(directory, time);
        let file = directory.join(QUEUE_FILE);
        check_database(&file)
            .map_err(|reason| sentence("holds a queue that cannot be opened", &reason))?;
        crash_point!("store.checked");
        directory::make_private(directory, &file)
            .map_err(|error| sentence("holds a queue that cannot be made private", &error))?;
        let table = MessageTable::open(&file)
            .map_err(|error| sentence("holds a queue that cannot be opened", &error))?;
        let (commands, inbox) = mpsc::channel();
        let queues = Arc::new(QueueStates::default());
        let (state_sender, state) = watch::channel(ConnectionState::Connected);
        let (accepting_sender, accepting) = watch::channel(ConnectionState::Connected);
        let (depths_sender, depths) = watch::channel(Depths::default());
        let (free_sender, free_disk) = watch::channel(None);
        let space = DiskSpace::new(directory, &file, options.min_free_bytes, free_sender);
        let held = [
            log_of(&file),
            directory.join(directory::LOCK_FILE),
            file.clone(),
        ];
        let files = DataFiles::new(directory, held.into());
        let thread = StoreThread::new(
            table,
            Arc::clone(&queues),
            inbox,
            state_sender,
            accepting_sender,
            depths_sender,
            Watched { space, files },
            clock.clone(),
        )
        .map_err(|error| sentence("holds a queue that cannot be read", &error))?;
        crash_point!("store.opened");
        let waiting_publishes = Arc::clone(&thread.waiting_publishes);
        let durable_number = Arc::clone(&thread.durable_number);
        let run = move || {
            let stopped = thread.run();
            // Unlock before answering, so that the directory can be opened again at once.
            drop(lock);
            if let Some(done) = stopped {
                let _ = done.send(());
            }
        };
        std::thread::Builder::new()
            .name("ringback-store".to_owned())
            .spawn(run)
            .map_err(|error| {
                sentence("cannot be used, because its thread did not start", &error)
            })?;
        Ok(Self(Arc::new(EmbeddedInner {
            store: StoreHandle::new(commands, clock),
            file,
            queues,
            waiting_publishes,
            durable_number,
            state,
            accepting,
            depths,
            free_disk,
            listeners: ReplyListeners::default(),
            control: Arc::default(),
            publish_timeout: options.publish_timeout,
            confirms: ConfirmObserver::default(),
        })))
    }

    pub(crate) fn clock(&self) -> StoreClock {
        self.0.store.clock()
    }

    pub(crate) async fn publish(
        &self,
        route: &Route,
        message: BrokerMessage,
    ) -> Result<(), PublishError> {
        let inner = &*self.0;
        if *inner.state.borrow() != ConnectionState::Connected {
            return Err(PublishError::Refused(RefusedReason::Blocked));
        }
        let begun = Instant::now();
        let message = NewMessage::new(route, message, inner.store.now_ms());
        if message.is_callback {
            match *inner.accepting.borrow() {
                ConnectionState::Connected => {}
                ConnectionState::Blocked(_) => {
                    return Err(PublishError::Refused(RefusedReason::LowDisk));
                }
                _ => return Err(PublishError::Refused(RefusedReason::Blocked)),
            }
        }
        let waiting = &inner.waiting_publishes;
        if waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING_PUBLISHES {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(PublishError::Refused(RefusedReason::InboxFull));
        }
        let (reply, durable) = oneshot::channel();
        if !inner.store.send(StoreCommand::Publish { message, reply }) {
            waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(PublishError::Refused(RefusedReason::NotConnected));
        }
        match tokio::time::timeout(inner.publish_timeout, durable).await {
            Ok(Ok(answer)) => {
                if answer.is_ok() {
                    inner.confirms.durable(queue_of(route), begun.elapsed());
                }
                answer
            }
            Ok(Err(_)) => Err(PublishError::Unknown(UnknownReason::ConnectionLost)),
            Err(_) => Err(PublishError::Unknown(UnknownReason::Deadline)),
        }
    }

    pub(crate) fn observe_confirms(
        &self,
        observe: impl Fn(&'static str, Duration) + Send + Sync + 'static,
    ) {
        self.0.confirms.set(observe);
    }

    pub(crate) fn consume(&self, queue: Queue, prefetch: u16) -> EmbeddedConsumer {
        EmbeddedConsumer::new(
            queue,
            prefetch,
            Arc::clone(&self.0.queues),
            self.0.store.clone(),
            self.0.state.clone(),
        )
    }

    pub(crate) fn replies(&self) -> Replies {
        self.0.listeners.listen()
    }

    pub(crate) fn reply(&self, address: &str, reply: &Bytes) {
        self.0.listeners.send(address, reply);
    }

    pub(crate) fn control(&self) -> Control {
        let inner = &*self.0;
        let (sender, inbox) = channel::channel(MAX_UNREAD);
        inner.control.add(sender.clone());
        Control {
            address: inner.listeners.listen_alone(sender),
            inbox,
            sender: ControlSender(ControlRoute::Embedded(Arc::clone(&inner.control))),
        }
    }

    /// Whether new callbacks are accepted.
    pub(crate) fn accepting(&self) -> watch::Receiver<ConnectionState> {
        self.0.accepting.clone()
    }

    /// Whether the disk takes anything.
    pub(crate) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.0.state.clone()
    }

    /// The free bytes of the disk, as last seen; `None`: unknown.
    pub(crate) fn free_disk(&self) -> watch::Receiver<Option<u64>> {
        self.0.free_disk.clone()
    }

    /// The number that the next message will have, or a lower one.
    pub(crate) fn durable_number(&self) -> i64 {
        self.0.durable_number.load(Ordering::Acquire)
    }

    /// Removes what waits in the retry queue with this id and a lower number. `None`: it failed.
    pub(crate) async fn remove_waiting(&self, id: String, below: i64) -> Option<u32> {
        let (reply, removed) = oneshot::channel();
        let command = StoreCommand::RemoveWaiting { id, below, reply };
        self.0.store.send(command);
        let answer = tokio::time::timeout(self.0.publish_timeout, removed);
        answer.await.ok()?.ok()
    }

    /// Which of these ids are held. `None`: the file could not be read.
    pub(crate) async fn held_ids(&self, ids: Vec<String>) -> Option<HashSet<String>> {
        let file = self.0.file.clone();
        let read = tokio::task::spawn_blocking(move || held::read(&file, &ids));
        match read.await.ok()? {
            Ok(held) => Some(held),
            Err(error) => {
                tracing::warn!(%error, "failed to look for messages in the queue's file");
                None
            }
        }
    }

    pub(crate) fn depths(&self) -> watch::Receiver<Depths> {
        self.0.depths.clone()
    }

    pub(crate) async fn close(&self) {
        let (done, stopped) = oneshot::channel();
        self.0.store.send(StoreCommand::Stop { done });
        // An error means that it had stopped before.
        let _ = stopped.await;
    }
}
