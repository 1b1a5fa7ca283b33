//! How a received message is settled, and the follow-up that must be durable first.

use crate::message::{BrokerMessage, Queue, Route};
use bytes::Bytes;
use failpoints::sabotage;
use std::time::Duration;

/// How long a message that was dropped unsettled keeps its place in the prefetch window. Then it
/// returns to its queue, and the place is free.
///
/// A message whose processing fails at once is so redelivered at most every 5 s, and reaches the
/// delivery limit (100 in the work queues) after 8 minutes.
pub(crate) const REDELIVERY_PAUSE: Duration = Duration::from_secs(5);

/// How a received message is settled.
#[derive(Debug)]
pub enum Settlement {
    /// Its work is done.
    Complete,
    /// It, or its follow-up, is delivered again after a delay.
    Reschedule {
        /// Never cut short; at most 1 s + 2 % longer on an unloaded broker.
        delay: Duration,
        /// What becomes due in the retry queue.
        message: BrokerMessage,
    },
    /// It, or its follow-up, is kept among the dead letters.
    DeadLetter {
        /// Why, as a header for people.
        reason: &'static str,
        /// What is kept.
        message: BrokerMessage,
    },
    /// Its bytes cannot be decoded; they are kept unchanged among the unreadable messages.
    Quarantine {
        /// Why, as a header for people. Never the bytes themselves.
        reason: String,
        /// When, in Unix ms.
        at: u64,
    },
}

/// The message could not be settled, and will be redelivered.
#[derive(Debug, thiserror::Error)]
#[error("the consumer's connection ended before the message was settled; it will be redelivered")]
pub struct Unsettled;

/// Header of a dead letter or an unreadable message: why, in a word or a sentence.
pub(crate) const REASON_HEADER: &str = "ringback-reason";
/// Header of an unreadable message: the queue that it was read from.
pub(crate) const FROM_HEADER: &str = "ringback-from";
/// Header of an unreadable message: when it was quarantined, in Unix ms.
pub(crate) const AT_HEADER: &str = "ringback-at";
/// The kind of a message that could not be decoded.
const UNREADABLE_KIND: &str = "unreadable";

impl Settlement {
    /// What must be durable before the message with this `body`, received from `queue`, is removed.
    pub(crate) fn follow_up(self, queue: Queue, body: Bytes) -> Option<(Route, BrokerMessage)> {
        match self {
            Self::Complete => None,
            Self::Reschedule { delay, message } => {
                sabotage!("skip-follow-up", return None);
                Some((Route::Later(delay), message))
            }
            Self::DeadLetter {
                reason,
                mut message,
            } => {
                sabotage!("skip-dead-letter", return None);
                message.headers.push((REASON_HEADER, reason.to_owned()));
                Some((Route::Terminal(Queue::Dead), message))
            }
            Self::Quarantine { reason, at } => {
                let message = BrokerMessage {
                    id: String::new(),
                    kind: UNREADABLE_KIND,
                    headers: vec![
                        (REASON_HEADER, reason),
                        (FROM_HEADER, queue.as_str().to_owned()),
                        (AT_HEADER, at.to_string()),
                    ],
                    body,
                };
                Some((Route::Terminal(Queue::Unreadable), message))
            }
        }
    }
}
