//! Publishes to all exchanges of the topology and waits for the confirms.
//!
//! Each confirm channel belongs to exactly one task: shared by two, lapin pairs confirms with the
//! wrong messages and loses accepted ones (measured: 65 of 25,600). The task starts many publishes
//! before it awaits any, so that writes and the broker's fsyncs are batched.

use super::channel::{self, ChannelContext, ChannelEnd, PublishRequest};
use super::health::PublishHealth;
use super::links::{ChannelInbox, PublishChannels, PublishLink, PublishLinks};
use super::remedy::Remedy;
use super::standing::ChannelStanding;
use crate::message::{BrokerMessage, Route};
use crate::publish_error::{PublishError, RefusedReason, UnknownReason};
use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::rabbitmq::monitor::Monitor;
use crate::rabbitmq::topology::objects::Topology;
use crate::rabbitmq::topology::target_queue::Address;
use crate::state::ConnectionState;
use failpoints::crash_point;
use std::sync::Arc;
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
    links: Arc<PublishLinks>,
    topology: Arc<Topology>,
    publish_timeout: Duration,
    health: Arc<PublishHealth>,
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
    /// `connections`: at least one, of one monitor. All of them are used; when the node of one is
    /// silent, the others have channels that every queue knows already.
    pub(in crate::rabbitmq) fn start(
        connections: Vec<ManagedConnection>,
        monitor: Arc<Monitor>,
        topology: Arc<Topology>,
        publish_timeout: Duration,
        publish_channels: usize,
    ) -> Self {
        let this = Self {
            links: Arc::new(PublishLinks::new(connections)),
            topology,
            publish_timeout,
            health: Arc::new(PublishHealth::new(monitor)),
        };
        for link in &this.links.links {
            let (health, link) = (Arc::clone(&this.health), Arc::clone(link));
            tokio::spawn(serve(health, link, publish_channels));
        }
        this
    }

    /// The state of the best connection.
    pub(in crate::rabbitmq) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.links.state()
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
        crash_point!("rabbitmq.publish");
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
        self.links.send(request, &self.health).await?;
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
        let mut state = self.links.state();
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
}

/// Opens the channels of every new session of a connection.
async fn serve(health: Arc<PublishHealth>, link: Arc<PublishLink>, publish_channels: usize) {
    while let Some(session) = link.connection.session().await {
        let (remedies, asked) = mpsc::channel(MAX_REMEDIES);
        let mut serving = Serving {
            health: &health,
            link: &link,
            session: &session,
            remedies,
            channels: Vec::with_capacity(publish_channels),
            tasks: JoinSet::new(),
            reopen_wait: REOPEN_WAIT,
        };
        if let Err(reason) = serving.run(publish_channels, asked).await {
            session.fail(reason);
        }
        // Before the others take over.
        health.unsettled(Instant::now());
        // Accept no new requests, then answer the accepted ones.
        link.channels.send_replace(None);
        serving.end().await;
    }
}

/// The channels of one session.
struct Serving<'a> {
    health: &'a Arc<PublishHealth>,
    link: &'a PublishLink,
    session: &'a Arc<Session>,
    remedies: mpsc::Sender<Remedy>,
    channels: Vec<OpenChannel>,
    tasks: JoinSet<TaskEnd>,
    reopen_wait: Duration,
}

/// One of the channels that take requests.
struct OpenChannel {
    inbox: ChannelInbox,
    retire: CancellationToken,
    opened: Instant,
}

/// The end of a task of [`Serving`].
enum TaskEnd {
    /// Of a channel's task; the position is that of its channel.
    Channel(usize, CancellationToken, ChannelEnd),
    /// The wait before the channel at this position is replaced is over. Its token is cancelled when
    /// it was replaced meanwhile: it must not be replaced twice.
    Reopen(usize, CancellationToken),
}

impl TaskEnd {
    /// Whether a channel is to be replaced, and was not meanwhile.
    fn is_due_reopen(&self) -> bool {
        matches!(self, Self::Reopen(_, retire) if !retire.is_cancelled())
    }

    const fn position(&self) -> usize {
        match self {
            Self::Channel(position, ..) | Self::Reopen(position, _) => *position,
        }
    }
}

/// Waits before a failed channel is replaced, or until another remedy has replaced it.
async fn reopen_after(wait: Duration, position: usize, retire: CancellationToken) -> TaskEnd {
    let _ = retire.run_until_cancelled(tokio::time::sleep(wait)).await;
    TaskEnd::Reopen(position, retire)
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
                    Ok(ended) if ended.is_due_reopen() => {
                        let position = ended.position();
                        let new = self.open(position).await?;
                        let old = std::mem::replace(&mut self.channels[position], new);
                        old.retire.cancel();
                        self.show();
                    }
                    // Retired, replaced meanwhile, or the process ends.
                    Ok(TaskEnd::Channel(..) | TaskEnd::Reopen(..)) | Err(_) => {}
                },
                Some(remedy) = asked.recv() => match remedy {
                    Remedy::Wait => {}
                    Remedy::NewChannels => self.replace().await?,
                    Remedy::NewConnection => {
                        self.link.channels.send_replace(None);
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
        let (sender, requests) = mpsc::channel(MAX_INBOX);
        let standing = Arc::<ChannelStanding>::default();
        let inbox = ChannelInbox {
            requests: sender,
            standing: Arc::clone(&standing),
        };
        let retire = CancellationToken::new();
        let context = ChannelContext {
            session: Arc::clone(self.session),
            health: Arc::clone(self.health),
            standing,
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
        };
        let shown = &self.link.channels;
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
        self.tasks.spawn(reopen_after(wait, position, retire));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_channel_that_was_replaced_meanwhile_is_not_opened_again() {
        let wait = Duration::from_millis(1);
        // Replaced during the wait, and replaced between its end and the look at it.
        for before in [true, false] {
            let retire = CancellationToken::new();
            if before {
                retire.cancel();
            }
            let ended = reopen_after(wait, 1, retire.clone()).await;
            retire.cancel();
            assert!(!ended.is_due_reopen());
        }
        let ended = reopen_after(wait, 1, CancellationToken::new()).await;
        assert!(ended.is_due_reopen());
    }
}
