//! Sends probes to the tails of the work queues, and waits until they have come out.

use std::collections::HashSet;
use std::time::Duration;

use broker::{Broker, BrokerMessage, Replies};
use contract::{Probe, ProbeAnswer};
use runtime::clock::now_ms;
use tokio::time::timeout;
use uuid::Uuid;

use super::evidence::Obstacle;

/// How long a probe may wait in its queue. It waits behind the whole backlog.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60 * 60);
/// How long to wait for an address for the answers.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends probes, and receives the answers to them.
pub(super) struct Prober<'a> {
    broker: &'a Broker,
    replies: Replies,
}

impl<'a> Prober<'a> {
    pub(super) fn new(broker: &'a Broker) -> Self {
        Self {
            broker,
            replies: broker.replies(),
        }
    }

    /// Publishes one probe to each work queue, and waits until both have come out.
    ///
    /// # Errors
    /// When one could not be published, or has not come out in time. It is then answered later, which
    /// nobody hears.
    pub(super) async fn probe_queues(&mut self) -> Result<(), Obstacle> {
        let reply_to = self.address().await.ok_or(Obstacle::NoReplies)?;
        let (to_first, to_retry) = (message(reply_to.clone()), message(reply_to));
        let mut waiting = HashSet::from([to_first.0, to_retry.0]);
        let first = self.broker.publish(to_first.1);
        let retry = self.broker.publish_later(to_retry.1, Duration::ZERO);
        let (first, retry) = tokio::join!(first, retry);
        if let Err(error) = first.and(retry) {
            tracing::debug!(%error, "a probe could not be published");
            return Err(Obstacle::Interrupted);
        }
        let answered = async {
            while !waiting.is_empty() {
                // Replies to others arrive here too in one process.
                if let Some(answer) = ProbeAnswer::decode(&self.replies.next().await) {
                    waiting.remove(&answer.probe_id);
                }
            }
        };
        let answered = timeout(ANSWER_TIMEOUT, answered).await;
        answered.map_err(|_| Obstacle::NotAnswered)
    }

    /// Where answers go, as soon as there is a connection.
    async fn address(&self) -> Option<String> {
        let mut address = self.replies.address();
        let known = timeout(ADDRESS_TIMEOUT, address.wait_for(Option::is_some)).await;
        known.ok()?.ok()?.clone()
    }
}

fn message(reply_to: String) -> (Uuid, BrokerMessage) {
    let probe = Probe {
        probe_id: Uuid::now_v7(),
        reply_to,
        sent_at: now_ms(),
    };
    let message = BrokerMessage {
        id: probe.probe_id.hyphenated().to_string(),
        kind: Probe::AMQP_TYPE,
        headers: Vec::new(),
        body: probe.encode().into(),
    };
    (probe.probe_id, message)
}
