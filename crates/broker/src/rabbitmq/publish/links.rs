//! The open channels of all publishing connections, and the choice among them.

use super::channel::PublishRequest;
use super::health::PublishHealth;
use super::standing::{ChannelStanding, Preference};
use crate::publish_error::{PublishError, RefusedReason};
use crate::rabbitmq::connection::{ManagedConnection, Session};
use crate::state::ConnectionState;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// A healthy connection has opened its channels within this time.
const OPEN_CHANNELS_TIMEOUT: Duration = Duration::from_secs(1);

/// One publishing connection.
#[derive(Debug)]
pub(super) struct PublishLink {
    pub(super) connection: ManagedConnection,
    /// The open channels, while there is a session.
    pub(super) channels: watch::Sender<Option<Arc<PublishChannels>>>,
}

/// The open channels of one session.
#[derive(Debug)]
pub(super) struct PublishChannels {
    pub(super) session: Arc<Session>,
    pub(super) inboxes: Vec<ChannelInbox>,
}

/// Where one channel takes its requests.
#[derive(Clone, Debug)]
pub(super) struct ChannelInbox {
    pub(super) requests: mpsc::Sender<PublishRequest>,
    pub(super) standing: Arc<ChannelStanding>,
}

/// All publishing connections.
#[derive(Debug)]
pub(super) struct PublishLinks {
    pub(super) links: Vec<Arc<PublishLink>>,
    state: watch::Receiver<ConnectionState>,
    next: AtomicUsize,
}

impl PublishLinks {
    /// `connections`: at least one.
    pub(super) fn new(connections: Vec<ManagedConnection>) -> Self {
        let states = connections.iter().map(ManagedConnection::state).collect();
        let link = |connection| {
            Arc::new(PublishLink {
                connection,
                channels: watch::Sender::new(None),
            })
        };
        Self {
            links: connections.into_iter().map(link).collect(),
            state: best(states),
            next: AtomicUsize::new(0),
        }
    }

    /// The state of the best connection.
    pub(super) fn state(&self) -> watch::Receiver<ConnectionState> {
        self.state.clone()
    }

    /// Hands a request to the best channel that takes it; round robin keeps all of them busy.
    pub(super) async fn send(
        &self,
        request: PublishRequest,
        health: &PublishHealth,
    ) -> Result<(), PublishError> {
        let mut open = self.open();
        if open.is_empty() {
            open = self.wait_until_open().await?;
        }
        open.retain(|channels| !channels.session.is_blocked());
        if open.is_empty() {
            return Err(PublishError::Refused(RefusedReason::Blocked));
        }
        let unsettled = health.is_unsettled(Instant::now());
        self.hand_over(&open, request, unsettled)
            .map_err(PublishError::Refused)
    }

    fn hand_over(
        &self,
        open: &[Arc<PublishChannels>],
        mut request: PublishRequest,
        unsettled: bool,
    ) -> Result<(), RefusedReason> {
        let count = open.iter().map(|channels| channels.inboxes.len()).sum();
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let destination = request.address.destination;
        let mut refused = RefusedReason::NotConnected;
        // Nearly always the first one is wanted.
        for wanted in Preference::ALL {
            for offset in 0..count {
                let Some((session, inbox)) = channel_at(open, next.wrapping_add(offset) % count)
                else {
                    continue;
                };
                let doubtful = session.is_doubtful();
                if inbox.standing.preference(destination, doubtful, unsettled) != wanted {
                    continue;
                }
                request = match inbox.requests.try_send(request) {
                    Ok(()) => return Ok(()),
                    Err(mpsc::error::TrySendError::Full(request)) => {
                        refused = RefusedReason::InboxFull;
                        request
                    }
                    // It is being replaced.
                    Err(mpsc::error::TrySendError::Closed(request)) => request,
                };
            }
        }
        Err(refused)
    }

    fn open(&self) -> Vec<Arc<PublishChannels>> {
        let open = |link: &Arc<PublishLink>| link.channels.borrow().clone();
        self.links.iter().filter_map(open).collect()
    }

    /// Waits for the channels of a connection that has just come up.
    async fn wait_until_open(&self) -> Result<Vec<Arc<PublishChannels>>, PublishError> {
        let is_up = |link: &&Arc<PublishLink>| link.connection.state().borrow().is_up();
        let opening = self.links.iter().filter(is_up).map(|link| {
            let mut channels = link.channels.subscribe();
            Box::pin(async move { channels.wait_for(Option::is_some).await.is_ok() })
        });
        let opening: Vec<_> = opening.collect();
        if !opening.is_empty() {
            let opened = futures_util::future::select_all(opening);
            // In vain, and nothing is open below.
            let _ = tokio::time::timeout(OPEN_CHANNELS_TIMEOUT, opened).await;
        }
        let open = self.open();
        match open.is_empty() {
            true => Err(PublishError::Refused(RefusedReason::NotConnected)),
            false => Ok(open),
        }
    }
}

/// The channel at this position, counted over all sessions.
fn channel_at(
    open: &[Arc<PublishChannels>],
    mut position: usize,
) -> Option<(&Session, &ChannelInbox)> {
    for channels in open {
        match channels.inboxes.get(position) {
            Some(inbox) => return Some((&channels.session, inbox)),
            None => position -= channels.inboxes.len(),
        }
    }
    None
}

/// The best of several states at any time: one connection is enough to publish.
fn best(mut states: Vec<watch::Receiver<ConnectionState>>) -> watch::Receiver<ConnectionState> {
    if let [only] = &states[..] {
        return only.clone();
    }
    let choose = |states: &mut Vec<watch::Receiver<ConnectionState>>| {
        let seen = states.iter_mut().map(|it| it.borrow_and_update().clone());
        let rank = |state: &ConnectionState| match state {
            ConnectionState::Connected => 0,
            ConnectionState::Blocked(_) => 1,
            ConnectionState::Disconnected(_) => 2,
            ConnectionState::NeverConnected(_) | ConnectionState::Unusable(_) => 3,
        };
        let chosen = seen.min_by_key(rank);
        chosen.unwrap_or_else(|| ConnectionState::NeverConnected(String::new()))
    };
    let (sender, receiver) = watch::channel(choose(&mut states));
    tokio::spawn(async move {
        while !states.is_empty() {
            let changes = states.iter_mut().map(|it| Box::pin(it.changed()));
            let (changed, position, _) = futures_util::future::select_all(changes).await;
            if changed.is_err() {
                // Its connection was closed on purpose; its last state stays in what was shown.
                states.remove(position);
                continue;
            }
            let now = choose(&mut states);
            sender.send_if_modified(|shown| {
                let other = *shown != now;
                *shown = now.clone();
                other
            });
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_connection_is_enough_to_be_connected() {
        let down = || ConnectionState::Disconnected("gone".to_owned());
        let senders = [down(), down()].map(watch::Sender::new);
        let states = senders.iter().map(watch::Sender::subscribe).collect();
        let mut shown = best(states);
        assert_eq!(*shown.borrow_and_update(), down());
        senders[1].send_replace(ConnectionState::Connected);
        shown.changed().await.unwrap();
        assert_eq!(*shown.borrow_and_update(), ConnectionState::Connected);
        senders[0].send_replace(ConnectionState::Connected);
        senders[1].send_replace(ConnectionState::Blocked("disk".to_owned()));
        senders[0].send_replace(down());
        let blocked = |state: &ConnectionState| matches!(state, ConnectionState::Blocked(_));
        shown.wait_for(blocked).await.unwrap();
    }
}
