//! How does a message become durable, and how is that known?
//!
//! Each confirm channel belongs to exactly one task: shared by two, lapin pairs confirms with the
//! wrong messages and loses accepted ones (measured: 65 of 25,600). The task starts many publishes
//! before it awaits any, so that writes and the broker's fsyncs batch.

use super::ladder;
use super::link::{Link, Live};
use super::topology::{FIRST_KEY, RECORD_KEY, Topology};
use super::{Settings, channel};
use crate::route::Route;
use crate::{Lane, Message, PublishError, Refused, State, Unknown};
use channel::Job;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Messages that may wait for a channel task. Beyond it the broker is too slow: say so at once.
const INBOX: usize = 1_024;
/// How much later than the channel task's own answer the asker stops waiting.
const MARGIN: Duration = Duration::from_millis(250);
/// A connection that is up has its channels within this time, or is in trouble.
const OPENING: Duration = Duration::from_secs(1);

/// Publishes to all exchanges of the topology. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    link: Link,
    topology: Arc<Topology>,
    timeout: Duration,
    /// The open channels' inboxes, while a connection stands.
    outbox: Arc<watch::Sender<Option<Arc<Outbox>>>>,
    /// Follow-ups that wait longer than they should; see [`Publisher::able`].
    stuck: Arc<watch::Sender<usize>>,
}

#[derive(Debug)]
struct Outbox {
    live: Arc<Live>,
    inboxes: Vec<mpsc::Sender<Job>>,
    next: AtomicUsize,
}

/// How long a publisher waits for its confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// The configured deadline: somebody waits for the answer.
    Deadline,
    /// As long as the connection stands: giving up early would only publish a second copy.
    Connection,
}

impl Publisher {
    pub(super) fn start(link: Link, topology: Arc<Topology>, settings: &Settings) -> Self {
        let this = Self {
            link,
            topology,
            timeout: settings.publish_timeout,
            outbox: Arc::new(watch::Sender::new(None)),
            stuck: Arc::new(watch::Sender::new(0)),
        };
        tokio::spawn(this.clone().serve(settings.publish_channels));
        this
    }

    /// Publishes, and resolves when the broker has confirmed, or with the reason why that is not
    /// known within the configured deadline.
    pub(super) async fn publish(
        &self,
        route: &Route,
        message: Message,
    ) -> Result<(), PublishError> {
        self.send(route, message, Patience::Deadline).await
    }

    /// Publishes a follow-up: waits for the confirm as long as the connection stands.
    pub(super) async fn publish_patiently(
        &self,
        route: &Route,
        message: Message,
    ) -> Result<(), PublishError> {
        self.send(route, message, Patience::Connection).await
    }

    async fn send(
        &self,
        route: &Route,
        message: Message,
        patience: Patience,
    ) -> Result<(), PublishError> {
        let outbox = self.open_outbox().await?;
        if outbox.live.blocked() {
            return Err(PublishError::Refused(Refused::Blocked));
        }
        let (exchange, routing_key) = self.address(route);
        let (reply, confirmed) = oneshot::channel();
        let deadline = match patience {
            Patience::Deadline => Some(Instant::now() + self.timeout),
            Patience::Connection => None,
        };
        let job = Job {
            exchange,
            routing_key,
            message,
            deadline,
            reply,
        };
        // Round robin: both channels stay busy, whoever asks.
        let turn = outbox.next.fetch_add(1, Ordering::Relaxed) % outbox.inboxes.len();
        match outbox.inboxes[turn].try_send(job) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(PublishError::Refused(Refused::InboxFull));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(PublishError::Refused(Refused::NotConnected));
            }
        }
        let answer = match deadline {
            None => confirmed.await,
            // The channel task answers at the deadline; but one whose thousand in flight all wait
            // for an alarm's end does not read its inbox, and nobody may wait as long as that.
            Some(deadline) => match tokio::time::timeout_at(deadline + MARGIN, confirmed).await {
                Ok(answer) => answer,
                Err(_) => return Err(PublishError::Unknown(Unknown::Deadline)),
            },
        };
        // A channel task that ended without an answer had written the message.
        answer.unwrap_or(Err(PublishError::Unknown(Unknown::ConnectionLost)))
    }

    async fn open_outbox(&self) -> Result<Arc<Outbox>, PublishError> {
        if let Some(outbox) = &*self.outbox.borrow() {
            return Ok(Arc::clone(outbox));
        }
        if self.link.state().borrow().is_up() {
            // The connection has just come up; its channels are being opened.
            let mut outbox = self.outbox.subscribe();
            let opened = tokio::time::timeout(OPENING, outbox.wait_for(Option::is_some)).await;
            if let Ok(Ok(outbox)) = opened
                && let Some(outbox) = &*outbox
            {
                return Ok(Arc::clone(outbox));
            }
        }
        Err(PublishError::Refused(Refused::NotConnected))
    }

    fn address(&self, route: &Route) -> (String, String) {
        match route {
            Route::First => (self.topology.entrance(), FIRST_KEY.to_owned()),
            Route::Later(delay) => {
                let entry = ladder::entry(*delay);
                (self.topology.level(entry.level), entry.routing_key)
            }
            Route::Record => (self.topology.lane(Lane::Journal), RECORD_KEY.to_owned()),
            Route::Grave(lane) => (self.topology.lane(*lane), String::new()),
        }
    }

    /// Waits until follow-ups can be published: connected, and none of them stuck. While the broker
    /// is merely blocked and no follow-up waits, work goes on, because delivered messages must leave
    /// the queue or the alarm may never clear.
    pub(super) async fn able(&self) {
        let (mut state, mut stuck) = (self.link.state(), self.stuck.subscribe());
        loop {
            // An error means that the sender is gone, at the end of the process.
            if state.wait_for(State::is_up).await.is_err()
                || stuck.wait_for(|stuck| *stuck == 0).await.is_err()
            {
                return std::future::pending().await;
            }
            if state.borrow().is_up() {
                return;
            }
        }
    }

    /// Counts a follow-up as stuck until the guard is dropped.
    pub(super) fn stuck(&self) -> Stuck {
        self.stuck.send_modify(|stuck| *stuck += 1);
        Stuck(Arc::clone(&self.stuck))
    }

    /// Opens the channels whenever there is a connection.
    async fn serve(self, channels: usize) {
        while let Some(live) = self.link.up().await {
            if let Err(error) = self.serve_connection(&live, channels).await {
                live.fault(error.to_string());
            }
        }
    }

    async fn serve_connection(&self, live: &Arc<Live>, channels: usize) -> lapin::Result<()> {
        let (mut tasks, mut inboxes) = (JoinSet::new(), Vec::with_capacity(channels));
        for _ in 0..channels {
            let channel = live.connection.create_channel().await?;
            channel.confirm_select(Default::default()).await?;
            let (sender, inbox) = mpsc::channel(INBOX);
            inboxes.push(sender);
            tasks.spawn(channel::run(channel, inbox, Arc::clone(live)));
        }
        let outbox = Outbox {
            live: Arc::clone(live),
            inboxes,
            next: AtomicUsize::new(0),
        };
        self.outbox.send_replace(Some(Arc::new(outbox)));
        live.down.cancelled().await;
        // First nobody may come in any more; then whoever is in is answered.
        self.outbox.send_replace(None);
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// A follow-up that is stuck, as long as this lives.
pub(super) struct Stuck(Arc<watch::Sender<usize>>);

impl Drop for Stuck {
    fn drop(&mut self) {
        self.0.send_modify(|stuck| *stuck -= 1);
    }
}
