//! Rescues messages from the queues that no attempt reads.
//!
//! - `delivery_limit`: delivered too often without being settled. A readable message is
//!   dead-lettered and not retried automatically, because it may crash its dispatcher.
//! - `unrouted`: confirmed by the broker, so that its caller got a `000`, but matched by no queue (a
//!   binding is missing). A readable message is requeued to `retry` with a delay, so that it does not
//!   loop tightly while the binding is missing. One that comes back shows that the way to `retry` is
//!   broken: then the whole queue waits, longer each time (`rescue_pause.rs`). A batch of records goes
//!   back to the queue of the journal, in the same way.
//!
//! Unreadable messages of both queues are quarantined.

use crate::attempt::decode::decode;
use crate::attempt::record::{record_before_settle, unattempted};
use crate::attempt::settlement::{dead_letter, settle, to_broker_message};
use crate::metrics::DispatcherMetrics;
use crate::policy::route::RouteResolver;
use crate::rescue_pause::RescuePause;
use broker::{Broker, BrokerMessage, Queue, Received, Settlement};
use contract::Message;
use delivery::DeadLetterReason;
use journal::{Record, Recorder};
use runtime::clock::now_ms;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Small: these queues are normally empty.
const PREFETCH: u16 = 8;
/// How long a stop waits for the message being processed.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Short, because the caller got a `000`.
const REQUEUE_DELAY: Duration = Duration::from_secs(1);
/// Of a batch of records that is put back, as the broker's console shows it. Its bytes say the version.
const RECORDS_KIND: &str = "records";

/// A queue that no attempt reads.
#[derive(Clone, Copy)]
pub(crate) enum RescueQueue {
    DeliveryLimit,
    Unrouted,
}

impl RescueQueue {
    fn broker_queue(self) -> Queue {
        match self {
            Self::DeliveryLimit => Queue::DeliveryLimit,
            Self::Unrouted => Queue::Unrouted,
        }
    }
}

/// Processes the messages of one such queue.
pub(crate) struct Rescuer<'a> {
    pub(crate) queue: RescueQueue,
    pub(crate) routes: &'a RouteResolver,
    pub(crate) metrics: &'a DispatcherMetrics,
    pub(crate) recorder: Option<&'a Recorder>,
}

impl Rescuer<'_> {
    /// Reads the queue until `stop`.
    pub(crate) async fn run(&self, broker: &Broker, stop: &CancellationToken) {
        let mut consumer = broker.consume(self.queue.broker_queue(), PREFETCH);
        let mut pause = RescuePause::default();
        while let Some(received) = stop.run_until_cancelled(consumer.next()).await {
            // Not cut off at once: between the follow-up and the ack the message exists twice. But a
            // follow-up that is never confirmed must not block the stop.
            let timeout = async {
                stop.cancelled().await;
                tokio::time::sleep(SETTLE_TIMEOUT).await;
            };
            tokio::select! {
                () = self.rescue(received, broker, &mut pause, stop) => {}
                () = timeout => {}
            }
        }
        consumer.cancel().await;
        consumer.close().await;
    }

    async fn rescue(
        &self,
        received: Received,
        broker: &Broker,
        pause: &mut RescuePause,
        stop: &CancellationToken,
    ) {
        // Its recorder takes it for durable in the queue of the journal: nobody will send it again.
        if matches!(self.queue, RescueQueue::Unrouted)
            && journal::decode_batch(&received.body).is_ok()
        {
            return self.requeue_records(received, broker, pause, stop).await;
        }
        let queue = self.queue.broker_queue();
        let (record, settlement) = match decode(&received.body, queue, self.metrics) {
            // Not answered: it says nothing of this queue.
            Err(other) => (None, other.settlement()),
            Ok(message) => match self.queue {
                RescueQueue::DeliveryLimit => self.dead_letter(&message),
                RescueQueue::Unrouted => {
                    let wait = pause.before(message.request_id, Instant::now());
                    if stop
                        .run_until_cancelled(tokio::time::sleep(wait))
                        .await
                        .is_none()
                    {
                        return; // Unsettled, it stays in its queue.
                    }
                    (None, self.requeue(&message))
                }
            },
        };
        record_before_settle(record, self.recorder).await;
        settle(received, settlement).await;
    }

    /// Puts a batch of records back into the queue of the journal.
    async fn requeue_records(
        &self,
        received: Received,
        broker: &Broker,
        pause: &mut RescuePause,
        stop: &CancellationToken,
    ) {
        let wait = pause.before(batch_id(&received.body), Instant::now());
        if stop
            .run_until_cancelled(tokio::time::sleep(wait))
            .await
            .is_none()
        {
            return; // Unsettled, it stays in its queue.
        }
        tracing::error!("unrouted records requeued; check the broker for a missing binding");
        self.metrics.unrouted_requeued();
        let message = BrokerMessage {
            id: String::new(),
            kind: RECORDS_KIND,
            headers: Vec::new(),
            body: received.body.clone(),
        };
        match broker.publish_record(message).await {
            Ok(()) => {
                settle(received, Settlement::Complete).await;
            }
            Err(error) => tracing::warn!(%error, "unrouted records stay in their queue"),
        }
    }

    fn dead_letter(&self, message: &Message) -> (Option<Record>, Settlement) {
        let reason = DeadLetterReason::DeliveryLimit;
        tracing::error!(
            request_id = %message.request_id,
            reason = reason.as_str(),
            "callback dead-lettered: none of its deliveries was settled"
        );
        self.metrics.dead_lettered(&message.app_id, reason);
        let settlement = dead_letter(message.clone(), reason);
        let target = self.routes.resolve(message).target;
        let record = unattempted(message, target, now_ms(), reason, &settlement);
        (Some(record), settlement)
    }

    fn requeue(&self, message: &Message) -> Settlement {
        tracing::error!(
            request_id = %message.request_id,
            "unrouted callback requeued; check the broker for a missing binding"
        );
        self.metrics.unrouted_requeued();
        Settlement::Reschedule {
            delay: REQUEUE_DELAY,
            message: to_broker_message(message),
        }
    }
}

/// Names a batch, so that it is known when it comes back: a batch has no id of its own.
fn batch_id(body: &[u8]) -> Uuid {
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    Uuid::from_u64_pair(hasher.finish(), body.len() as u64)
}
