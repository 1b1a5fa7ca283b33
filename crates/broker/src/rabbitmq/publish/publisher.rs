//! Publishes to all exchanges of the topology and waits for the confirms.
//!
//! Each confirm channel belongs to exactly one task: shared by two, lapin pairs confirms with the
//! wrong messages and loses accepted ones (measured: 65 of 25,600). The task starts many publishes
//! before it awaits any, so that writes and the broker's fsyncs are batched.

use super::channel::{self, ChannelContext, ChannelEnd, PublishRequest};
use super::health::PublishHealth;
use super::remedy::Remedy;
use crate::message::{BrokerMessage, Route};
use crate::publish_error::{PublishError, RefusedReason, UnknownReason};
use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::rabbitmq::topology::objects::Topology;
use crate::rabbitmq::topology::target_queue::Address;
use crate::state::ConnectionState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The maximum number of requests that wait for a channel task. Beyond it the broker is too slow:
/// refuse at once.
const MAX_INBOX: usize = 1_024;
/// How much later than the channel task's deadline the publisher stops waiting.
const DEADLINE_MARGIN: Duration = Duration::from_millis(250);
/// A healthy connection has opened its channels within this time.
const OPEN_CHANNELS_TIMEOUT: Duration = Duration::from_secs(1);
/// A node that does not open a channel within this time is not used.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How long publishes in flight have before their connection is replaced on purpose.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Before a failed channel is replaced; doubled while they fail.
const REOPEN_WAIT: Duration = Duration::from_millis(50);
const MAX_REOPEN_WAIT: Duration = Duration::from_secs(5);
/// A channel that has lasted this long was healthy.
const STABLE_AFTER: Duration = Duration::from_secs(10);
/// Remedies that are asked for at a time.
const MAX_REMEDIES: usize = 4;

/// Publishes to all exchanges of the topology. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::rabbitmq) struct Publisher {
    connection: ManagedConnection,
    topology: Arc<Topology>,
    publish_timeout: Duration,
    health: Arc<PublishHealth>,
    /// The inboxes of the open channels, while there is a session.
    channels: Arc<watch::Sender<Option<Arc<PublishChannels>>>>,
}

#[derive(Debug)]
struct PublishChannels {
    session: Arc<Session>,
    inboxes: Vec<mpsc::Sender<PublishRequest>>,
    next: AtomicUsize,
}

/// How long a publisher waits for its confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConfirmWait {
    /// The configured timeout: a caller waits for the answer.
    Timeout,
    /// Until it is given up: giving up early would only publish a second copy.
    Patient,
}

impl Publisher {
    pub(in crate::rabbitmq) fn start(
        connection: ManagedConnection,
        topology: Arc<Topology>,
        publish_timeout: Duration,
        publish_channels: usize,
    ) -> Self {
        let health = Arc::new(PublishHealth::new(Arc::clone(connection.monitor())));
        let this = Self {
            connection,
            topology,
            publish_timeout,
            health,
            channels: Arc::new(watch::Sender::new(None)),
        };
        tokio::spawn(this.clone().run(publish_channels));
        this
    }

    /// Publishes. Resolves when the broker has confirmed, or with the reason why that is not known
    /// within the configured timeout.
    pub(in crate::rabbitmq) async fn publish(
        &self,
        route: &Route,
        message: BrokerMessage,
    ) -> Result<(), PublishError> {
        self.send(route, message, ConfirmWait::Timeout).await
    }

    /// Publishes a follow-up: waits for the confirm until the connection or the channel is given up.
    pub(in crate::rabbitmq) async fn publish_follow_up(
        &self,
        route: &Route,
        message: BrokerMessage,
    ) -> Result<(), PublishError> {
        self.send(route, message, ConfirmWait::Patient).await
    }

    async fn send(
        &self,
        route: &Route,
        message: BrokerMessage,
        wait: ConfirmWait,
    ) -> Result<(), PublishError> {
        let address = Address::new(route, &self.topology);
        let refused = |reason| Err(PublishError::Refused(reason));
        if self.health.is_refusing(address.destination) {
            return refused(RefusedReason::Unconfirmed);
        }
        if self.health.is_missing(address.destination) {
            return refused(RefusedReason::Missing);
        }
        let channels = self.open_channels().await?;
        if channels.session.is_blocked() {
            return refused(RefusedReason::Blocked);
        }
        let (reply, confirmed) = oneshot::channel();
        let deadline = Instant::now() + self.publish_timeout;
        let patient = wait == ConfirmWait::Patient;
        let request = PublishRequest {
            address,
            message,
            deadline,
            patient,
            reply,
        };
        channels.send(request).map_err(PublishError::Refused)?;
        drop(channels);
        let answer = if patient {
            confirmed.await
        } else {
            // The channel task answers at the deadline, unless the process has stalled.
            match tokio::time::timeout_at(deadline + DEADLINE_MARGIN, confirmed).await {
                Ok(answer) => answer,
                Err(_) => return Err(PublishError::Unknown(UnknownReason::Deadline)),
            }
        };
        // A channel task that ended without an answer had written the message.
        answer.unwrap_or(Err(PublishError::Unknown(UnknownReason::ConnectionLost)))
    }

    async fn open_channels(&self) -> Result<Arc<PublishChannels>, PublishError> {
        if let Some(channels) = &*self.channels.borrow() {
            return Ok(Arc::clone(channels));
        }
        if self.connection.state().borrow().is_up() {
            // The connection has just come up; its channels are being opened.
            let mut channels = self.channels.subscribe();
            let opened = channels.wait_for(Option::is_some);
            let opened = tokio::time::timeout(OPEN_CHANNELS_TIMEOUT, opened).await;
            if let Ok(Ok(channels)) = opened
                && let Some(channels) = &*channels
            {
                return Ok(Arc::clone(channels));
            }
        }
        Err(PublishError::Refused(RefusedReason::NotConnected))
    }

    /// Waits until follow-ups can be published: connected, and no more than `limit` of the reader's
    /// own are stalled. Those of one queue may stall while others do not: work goes on, and the
    /// rest of the window bounds it. But while the broker blocks all publishers, none may be
    /// stalled: each attempt would only hold one more message. (As long as none is, work goes on,
    /// because delivered messages must leave the queue or the alarm may never clear.)
    pub(in crate::rabbitmq) async fn ready_for_follow_ups(
        &self,
        mut stalled: watch::Receiver<usize>,
        limit: usize,
    ) {
        let mut state = self.connection.state();
        loop {
            let ready = match &*state.borrow_and_update() {
                ConnectionState::Connected => *stalled.borrow_and_update() < limit,
                ConnectionState::Blocked(_) => *stalled.borrow_and_update() == 0,
                ConnectionState::NeverConnected(_)
                | ConnectionState::Disconnected(_)
                | ConnectionState::Unusable(_) => false,
            };
            if ready {
                return;
            }
            let changed = tokio::select! {
                changed = state.changed() => changed,
                changed = stalled.changed() => changed,
            };
            // An error means that the sender was dropped, at the end of the process.
            if changed.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Opens the channels of every new session.
    async fn run(self, publish_channels: usize) {
        while let Some(session) = self.connection.session().await {
            let (remedies, asked) = mpsc::channel(MAX_REMEDIES);
            let mut serving = Serving {
                publisher: &self,
                session: &session,
                remedies,
                channels: Vec::with_capacity(publish_channels),
                tasks: JoinSet::new(),
                reopen_wait: REOPEN_WAIT,
            };
            if let Err(reason) = serving.run(publish_channels, asked).await {
                session.fail(reason);
            }
            // Accept no new requests, then answer the accepted ones.
            self.channels.send_replace(None);
            serving.end().await;
        }
    }
}

impl PublishChannels {
    /// Hands a request to the next channel that takes it. Round robin keeps all of them busy.
    fn send(&self, mut request: PublishRequest) -> Result<(), RefusedReason> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let mut refused = RefusedReason::NotConnected;
        for offset in 0..self.inboxes.len() {
            let inbox = &self.inboxes[next.wrapping_add(offset) % self.inboxes.len()];
            request = match inbox.try_send(request) {
                Ok(()) => return Ok(()),
                Err(mpsc::error::TrySendError::Full(request)) => {
                    refused = RefusedReason::InboxFull;
                    request
                }
                // It is being replaced.
                Err(mpsc::error::TrySendError::Closed(request)) => request,
            };
        }
        Err(refused)
    }
}

/// The channels of one session.
struct Serving<'a> {
    publisher: &'a Publisher,
    session: &'a Arc<Session>,
    remedies: mpsc::Sender<Remedy>,
    channels: Vec<OpenChannel>,
    tasks: JoinSet<TaskEnd>,
    reopen_wait: Duration,
}

/// One of the channels that take requests.
struct OpenChannel {
    inbox: mpsc::Sender<PublishRequest>,
    retire: CancellationToken,
    opened: Instant,
}

/// The end of a task of [`Serving`].
enum TaskEnd {
    /// Of a channel's task; the position is that of its channel.
    Channel(usize, CancellationToken, ChannelEnd),
    /// The wait before the channel at this position is replaced is over.
    Reopen(usize),
}

impl Serving<'_> {
    async fn run(
        &mut self,
        publish_channels: usize,
        mut asked: mpsc::Receiver<Remedy>,
    ) -> Result<(), String> {
        for position in 0..publish_channels {
            let channel = self.open(position).await?;
            self.channels.push(channel);
        }
        self.show();
        loop {
            tokio::select! {
                () = self.session.down.cancelled() => return Ok(()),
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(TaskEnd::Channel(position, retire, ChannelEnd::Lost(reason))) => {
                        self.lost(position, &retire, &reason);
                    }
                    Ok(TaskEnd::Reopen(position)) => {
                        let new = self.open(position).await?;
                        let old = std::mem::replace(&mut self.channels[position], new);
                        old.retire.cancel();
                        self.show();
                    }
                    // Retired, or the process ends.
                    Ok(TaskEnd::Channel(..)) | Err(_) => {}
                },
                Some(remedy) = asked.recv() => match remedy {
                    Remedy::Wait => {}
                    Remedy::NewChannels => self.replace().await?,
                    Remedy::NewConnection => {
                        self.publisher.channels.send_replace(None);
                        let _ = tokio::time::timeout(DRAIN_TIMEOUT, self.end()).await;
                        return Err("publishes to a queue fail lastingly".to_owned());
                    }
                },
            }
        }
    }

    /// Opens a channel and starts its task.
    async fn open(&mut self, position: usize) -> Result<OpenChannel, String> {
        let open = async {
            let channel = self.session.connection.create_channel().await?;
            channel.confirm_select(Default::default()).await?;
            Ok::<_, lapin::Error>(channel)
        };
        let channel = tokio::time::timeout(OPEN_TIMEOUT, open)
            .await
            .map_err(|_| "the broker opens no channel".to_owned())?
            .map_err(|error| error.to_string())?;
        let (inbox, requests) = mpsc::channel(MAX_INBOX);
        let retire = CancellationToken::new();
        let context = ChannelContext {
            session: Arc::clone(self.session),
            health: Arc::clone(&self.publisher.health),
            retire: retire.clone(),
            remedies: self.remedies.clone(),
        };
        let own = retire.clone();
        self.tasks.spawn(async move {
            let ended = channel::run(channel, requests, context).await;
            TaskEnd::Channel(position, own, ended)
        });
        Ok(OpenChannel {
            inbox,
            retire,
            opened: Instant::now(),
        })
    }

    /// Shows the channels to those who publish.
    fn show(&self) {
        let inboxes = self.channels.iter().map(|it| it.inbox.clone()).collect();
        let channels = PublishChannels {
            session: Arc::clone(self.session),
            inboxes,
            next: AtomicUsize::new(0),
        };
        let shown = &self.publisher.channels;
        shown.send_replace(Some(Arc::new(channels)));
    }

    /// A channel has failed: replaces it after a wait, unless it was retired.
    fn lost(&mut self, position: usize, retire: &CancellationToken, reason: &str) {
        if retire.is_cancelled() {
            return;
        }
        if self.channels[position].opened.elapsed() >= STABLE_AFTER {
            self.reopen_wait = REOPEN_WAIT;
        }
        let wait = self.reopen_wait;
        self.reopen_wait = (2 * wait).min(MAX_REOPEN_WAIT);
        tracing::debug!(reason, "a publish channel failed; opening another");
        let retire = retire.clone();
        self.tasks.spawn(async move {
            let waited = retire.run_until_cancelled(tokio::time::sleep(wait)).await;
            match waited {
                Some(()) => TaskEnd::Reopen(position),
                // It has been replaced meanwhile.
                None => TaskEnd::Channel(position, retire, ChannelEnd::Done),
            }
        });
    }

    /// Replaces all channels; what is in flight on the old ones is still waited for.
    async fn replace(&mut self) -> Result<(), String> {
        for position in 0..self.channels.len() {
            let new = self.open(position).await?;
            let old = std::mem::replace(&mut self.channels[position], new);
            old.retire.cancel();
        }
        self.show();
        Ok(())
    }

    /// Takes no more requests, and waits until the accepted ones are answered.
    async fn end(&mut self) {
        for channel in self.channels.drain(..) {
            channel.retire.cancel();
        }
        while let Some(ended) = self.tasks.join_next().await {
            drop(ended);
        }
    }
}
