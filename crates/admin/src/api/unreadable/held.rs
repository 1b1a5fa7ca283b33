//! Takes messages of the unreadable queue, and settles or returns them.
//!
//! They are held unsettled meanwhile, and return to their place when the consumer is closed: the queue
//! has no delivery limit that counts, so looking at it changes nothing.

use std::time::Duration;

use broker::{Broker, BrokerMessage, ConnectionState, Consumer, Queue, Received, Settlement};
use contract::Message;
use tokio::time::timeout;

use super::body::{id_of, is_batch};
use super::request::{MAX_HELD, UnreadableAction, UnreadableSelection};
use crate::api::error::ApiError;
use crate::doctor::said::{Said, say};

/// Beyond so many bytes no more are held.
const MAX_HELD_BYTES: usize = 64 * 1024 * 1024;
/// How long the first message may take while the queue is not known to be empty.
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one may take that is not expected: the depth may be some seconds old.
const UNEXPECTED_TIMEOUT: Duration = Duration::from_secs(1);
/// How long one may take when as many as expected are there.
const LAST_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a message may take to be stored in its queue.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// The kind of a requeued message that this version cannot decode.
const REQUEUED_KIND: &str = "requeued";

/// The oldest messages of the unreadable queue.
pub(super) struct HeldMessages {
    consumer: Consumer,
    messages: Vec<Received>,
    /// How many are in the queue, as far as is known: at least those that are held.
    waiting: usize,
}

/// What was done to held messages.
#[derive(Debug, Default)]
pub(super) struct SettledMessages {
    pub(super) changed: usize,
    /// The ids that no held message has.
    pub(super) unknown: Vec<String>,
    /// Why the rest was not changed.
    pub(super) error: Option<String>,
}

impl HeldMessages {
    /// Takes the oldest messages: at most `max`, and at most [`MAX_HELD`].
    ///
    /// # Errors
    /// When the broker is unavailable.
    pub(super) async fn take(broker: &Broker, max: usize) -> Result<Self, ApiError> {
        let max = max.min(MAX_HELD.into());
        let counted = broker.depths().borrow().unreadable.current();
        let expected = counted.map_or(0, |counted| usize::try_from(counted).unwrap_or(usize::MAX));
        let mut consumer = broker.consume(Queue::Unreadable, MAX_HELD);
        let (mut messages, mut bytes) = (Vec::<Received>::new(), 0);
        let mut has_more = true;
        while messages.len() < max && bytes < MAX_HELD_BYTES {
            let wait = match messages.len() {
                0 if counted != Some(0) => FIRST_TIMEOUT,
                0 => UNEXPECTED_TIMEOUT,
                held if held < expected => UNEXPECTED_TIMEOUT,
                _ => LAST_TIMEOUT,
            };
            let Ok(received) = timeout(wait, consumer.next()).await else {
                has_more = false;
                break;
            };
            bytes += received.body.len();
            messages.push(received);
        }
        let held = Self {
            consumer,
            waiting: match has_more {
                true => expected.max(messages.len()),
                false => messages.len(),
            },
            messages,
        };
        if held.messages.is_empty()
            && let Some(sentence) = Self::obstacle(broker)
        {
            held.put_back().await;
            return Err(ApiError::Unavailable(sentence));
        }
        Ok(held)
    }

    /// Why no message was received, unless there is none.
    fn obstacle(broker: &Broker) -> Option<Said> {
        let state = broker.consuming().borrow().clone();
        if state != ConnectionState::Connected {
            let state = state.to_string();
            return Some(say!(
                "the queue cannot be read: the broker is {state}",
                "无法读取队列，消息队列的状态：{state}"
            ));
        }
        // Counted anew meanwhile.
        match broker.depths().borrow().unreadable.current() {
            Some(0) => None,
            Some(count) => Some(say!(
                "{count} messages were counted and none was received: another process holds them \
                 now, or this one may not read the queue",
                "统计到 {count} 条消息，但未能取得：它们正由其他进程持有，或此进程无权读取该队列"
            )),
            None => Some(say!(
                "the queue cannot be read now, and its depth is unknown",
                "暂时无法读取队列，其长度也未知"
            )),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Received> {
        self.messages.iter()
    }

    /// How many are selected.
    pub(super) fn count(&self, selection: &UnreadableSelection) -> usize {
        match selection {
            UnreadableSelection::Oldest(_) => self.waiting,
            UnreadableSelection::Ids(_) => {
                let ids = self.iter().map(|received| id_of(&received.body));
                ids.filter(|id| selection.has(id)).count()
            }
        }
    }

    /// How many are in the queue: at least those that are held.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns the messages to their place.
    pub(super) async fn put_back(self) {
        let Self {
            mut consumer,
            messages,
            ..
        } = self;
        drop(messages);
        consumer.cancel().await;
        consumer.close().await;
    }

    /// Settles the selected messages and returns the others. Ends at the first that fails.
    pub(super) async fn settle(
        mut self,
        selection: &UnreadableSelection,
        action: UnreadableAction,
        broker: &Broker,
    ) -> SettledMessages {
        let mut settled = SettledMessages::default();
        let mut found = Vec::new();
        let (mut selected, mut others) = (Vec::new(), Vec::new());
        for received in std::mem::take(&mut self.messages) {
            let id = id_of(&received.body);
            match selection.has(&id) {
                true => selected.push(received),
                false => others.push(received),
            }
            found.push(id);
        }
        if let UnreadableSelection::Ids(ids) = selection {
            let unknown = ids.iter().filter(|id| !found.contains(id));
            settled.unknown = unknown.cloned().collect();
        }
        for received in selected {
            if settled.error.is_some() {
                others.push(received);
                continue;
            }
            let settling = async {
                match action {
                    UnreadableAction::Discard => settle(received, Settlement::Complete).await,
                    UnreadableAction::Requeue => requeue(received, broker).await,
                }
            };
            match timeout(SETTLE_TIMEOUT, settling).await {
                Ok(Ok(())) => settled.changed += 1,
                Ok(Err(error)) => settled.error = Some(error),
                Err(_) => {
                    let sentence = "the broker does not answer; the message may be in both queues";
                    settled.error = Some(sentence.to_owned());
                }
            }
        }
        self.messages = others;
        // With the consumer's end the settlements are written.
        self.put_back().await;
        settled
    }
}

/// Puts the bytes back into the queue that its readers consume, and removes the message once they are
/// durable there.
///
/// A callback goes to the queue of retries, before which the journal is asked: it may have been
/// cancelled or replayed since.
async fn requeue(received: Received, broker: &Broker) -> Result<(), String> {
    let body = received.body.clone();
    let message = match Message::decode(&body) {
        // The bytes stay as they are: they may hold what this version does not know.
        Ok(message) => BrokerMessage {
            body,
            ..dispatcher::to_broker_message(&message)
        },
        Err(_) => BrokerMessage {
            id: String::new(),
            kind: REQUEUED_KIND,
            headers: Vec::new(),
            body,
        },
    };
    if is_batch(&received) {
        let published = broker.publish_record(message).await;
        published.map_err(|error| error.to_string())?;
        return settle(received, Settlement::Complete).await;
    }
    let delay = Duration::ZERO;
    settle(received, Settlement::Reschedule { delay, message }).await
}

async fn settle(received: Received, settlement: Settlement) -> Result<(), String> {
    let settled = received.settle(settlement).await;
    settled.map_err(|error| error.to_string())
}
