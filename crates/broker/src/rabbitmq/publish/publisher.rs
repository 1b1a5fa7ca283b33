//! Publishes to all exchanges of the topology and waits for the confirms.
//!
//! Each confirm channel belongs to exactly one task: shared by two, lapin pairs confirms with the
//! wrong messages and loses accepted ones (measured: 65 of 25,600). The task starts many publishes
//! before it awaits any, so that writes and the broker's fsyncs are batched.

use super::channel::{self, PublishRequest};
use crate::message::{BrokerMessage, Queue, Route};
use crate::publish_error::{PublishError, RefusedReason, UnknownReason};
use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::rabbitmq::topology::delay::DelayEntry;
use crate::rabbitmq::topology::objects::{FIRST_KEY, RECORD_KEY, Topology};
use crate::state::ConnectionState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The maximum number of requests that wait for a channel task. Beyond it the broker is too slow:
/// refuse at once.
const MAX_INBOX: usize = 1_024;
/// How much later than the channel task's deadline the publisher stops waiting.
const DEADLINE_MARGIN: Duration = Duration::from_millis(250);
/// A healthy connection has opened its channels within this time.
const OPEN_CHANNELS_TIMEOUT: Duration = Duration::from_secs(1);

/// Publishes to all exchanges of the topology. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::rabbitmq) struct Publisher {
    connection: ManagedConnection,
    topology: Arc<Topology>,
    publish_timeout: Duration,
    /// The inboxes of the open channels, while there is a session.
    channels: Arc<watch::Sender<Option<Arc<PublishChannels>>>>,
    /// The number of stalled follow-ups; see [`Publisher::ready_for_follow_ups`].
    stalled: Arc<watch::Sender<usize>>,
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
    /// As long as the connection is up: giving up early would only publish a second copy.
    WhileConnected,
}

impl Publisher {
    pub(in crate::rabbitmq) fn start(
        connection: ManagedConnection,
        topology: Arc<Topology>,
        publish_timeout: Duration,
        publish_channels: usize,
    ) -> Self {
        let this = Self {
            connection,
            topology,
            publish_timeout,
            channels: Arc::new(watch::Sender::new(None)),
            stalled: Arc::new(watch::Sender::new(0)),
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

    /// Publishes a follow-up: waits for the confirm as long as the connection is up.
    pub(in crate::rabbitmq) async fn publish_follow_up(
        &self,
        route: &Route,
        message: BrokerMessage,
    ) -> Result<(), PublishError> {
        self.send(route, message, ConfirmWait::WhileConnected).await
    }

    async fn send(
        &self,
        route: &Route,
        message: BrokerMessage,
        wait: ConfirmWait,
    ) -> Result<(), PublishError> {
        let channels = self.open_channels().await?;
        if channels.session.is_blocked() {
            return Err(PublishError::Refused(RefusedReason::Blocked));
        }
        let (exchange, routing_key) = self.address(route);
        let (reply, confirmed) = oneshot::channel();
        let deadline = match wait {
            ConfirmWait::Timeout => Some(Instant::now() + self.publish_timeout),
            ConfirmWait::WhileConnected => None,
        };
        let request = PublishRequest {
            exchange,
            routing_key,
            message,
            deadline,
            reply,
        };
        // Round robin keeps all channels busy.
        let next = channels.next.fetch_add(1, Ordering::Relaxed) % channels.inboxes.len();
        match channels.inboxes[next].try_send(request) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(PublishError::Refused(RefusedReason::InboxFull));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(PublishError::Refused(RefusedReason::NotConnected));
            }
        }
        let answer = match deadline {
            None => confirmed.await,
            // The channel task answers at the deadline. But a task whose thousand in flight all
            // wait for the end of an alarm does not read its inbox.
            Some(deadline) => {
                match tokio::time::timeout_at(deadline + DEADLINE_MARGIN, confirmed).await {
                    Ok(answer) => answer,
                    Err(_) => return Err(PublishError::Unknown(UnknownReason::Deadline)),
                }
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

    fn address(&self, route: &Route) -> (String, String) {
        let topology = &self.topology;
        match route {
            Route::First => (topology.first_exchange(), FIRST_KEY.to_owned()),
            Route::Later(delay) => {
                let entry = DelayEntry::new(*delay);
                (topology.delay_level(entry.level), entry.routing_key)
            }
            Route::Record => (topology.queue_name(Queue::Journal), RECORD_KEY.to_owned()),
            Route::Terminal(queue) => (topology.queue_name(*queue), String::new()),
        }
    }

    /// Waits until follow-ups can be published: connected, and none of them stalled. While the
    /// broker is merely blocked and no follow-up waits, work goes on, because delivered messages
    /// must leave the queue or the alarm may never clear.
    pub(in crate::rabbitmq) async fn ready_for_follow_ups(&self) {
        let (mut state, mut stalled) = (self.connection.state(), self.stalled.subscribe());
        loop {
            // An error means that the sender was dropped, at the end of the process.
            if state.wait_for(ConnectionState::is_up).await.is_err()
                || stalled.wait_for(|stalled| *stalled == 0).await.is_err()
            {
                return std::future::pending().await;
            }
            if state.borrow().is_up() {
                return;
            }
        }
    }

    /// Counts a follow-up as stalled until the guard is dropped.
    pub(in crate::rabbitmq) fn stalled(&self) -> StalledGuard {
        self.stalled.send_modify(|stalled| *stalled += 1);
        StalledGuard(Arc::clone(&self.stalled))
    }

    /// Opens the channels of every new session.
    async fn run(self, publish_channels: usize) {
        while let Some(session) = self.connection.session().await {
            if let Err(error) = self.serve(&session, publish_channels).await {
                session.fail(error.to_string());
            }
        }
    }

    async fn serve(&self, session: &Arc<Session>, publish_channels: usize) -> lapin::Result<()> {
        let (mut tasks, mut inboxes) = (JoinSet::new(), Vec::with_capacity(publish_channels));
        for _ in 0..publish_channels {
            let channel = session.connection.create_channel().await?;
            channel.confirm_select(Default::default()).await?;
            let (sender, inbox) = mpsc::channel(MAX_INBOX);
            inboxes.push(sender);
            tasks.spawn(channel::run(channel, inbox, Arc::clone(session)));
        }
        self.channels.send_replace(Some(Arc::new(PublishChannels {
            session: Arc::clone(session),
            inboxes,
            next: AtomicUsize::new(0),
        })));
        session.down.cancelled().await;
        // Accept no new requests, then answer the accepted ones.
        self.channels.send_replace(None);
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// Counts one follow-up as stalled until it is dropped.
pub(in crate::rabbitmq) struct StalledGuard(Arc<watch::Sender<usize>>);

impl Drop for StalledGuard {
    fn drop(&mut self) {
        self.0.send_modify(|stalled| *stalled -= 1);
    }
}
