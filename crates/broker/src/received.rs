//! How does a message that was handed out come to its end, exactly once?

use crate::route::Route;
use crate::{Lane, Message, embedded, rabbitmq};
use bytes::Bytes;
use std::time::Duration;

/// A message in hand. It must be settled; the type forbids settling it twice.
///
/// Dropping it unsettled loses nothing: it is delivered again when the consumer's connection ends.
/// Nothing is requeued at once, because a requeue loop reaches the delivery limit in no time.
#[derive(Debug)]
pub struct Received {
    /// The body as it was published.
    pub body: Bytes,
    /// Whether the broker handed it out before (a crash, or a lost connection).
    pub redelivered: bool,
    /// Why it was given up or set aside, where it was and the broker tells. The embedded store does
    /// not.
    pub reason: Option<String>,
    pub(crate) receipt: Receipt,
}

/// The right, and the duty, to settle.
#[derive(Debug)]
pub(crate) enum Receipt {
    RabbitMq(rabbitmq::Receipt),
    Embedded(embedded::Receipt),
}

/// What becomes of a received message.
#[derive(Debug)]
pub enum Settlement {
    /// Its work is done.
    Done,
    /// It, or its follow-up, comes back after a delay.
    Later {
        /// Never shorter; at most 1 s + 2 % longer on an unloaded broker.
        delay: Duration,
        /// What comes back, in the retry lane.
        message: Message,
    },
    /// It is given up and kept among the dead letters.
    Dead {
        /// Why, as a header for people.
        reason: &'static str,
        /// What is kept.
        message: Message,
    },
    /// Its bytes cannot be read; they are set aside as they are.
    Poison {
        /// Why, as a header for people. Never the bytes themselves.
        reason: String,
    },
}

/// The message could not be settled, and will be delivered again.
#[derive(Debug, thiserror::Error)]
#[error("the consumer's connection ended before the message was settled; it will be redelivered")]
pub struct Unsettled;

impl Received {
    /// Settles the message: what follows from it is durable before the original is let go.
    ///
    /// While the follow-up cannot be confirmed (broker blocked or away) this waits and tries again.
    ///
    /// # Errors
    /// [`Unsettled`] when the consumer's connection ended first: the broker still holds the original
    /// and hands it out again.
    pub async fn settle(self, settlement: Settlement) -> Result<(), Unsettled> {
        match self.receipt {
            Receipt::RabbitMq(receipt) => receipt.settle(self.body, settlement).await,
            Receipt::Embedded(receipt) => receipt.settle(self.body, settlement).await,
        }
    }
}

/// Header of a given-up or set-aside message: why, in a word or a sentence.
pub(crate) const REASON: &str = "ringback-reason";
/// Header of a poison message: the lane that it was read from.
const FROM: &str = "ringback-from";
/// The format of a message that nobody could read.
const UNREADABLE: &str = "unreadable";

impl Settlement {
    /// What must be durable before the message with this `body`, received from `lane`, is let go.
    pub(crate) fn follow_up(self, lane: Lane, body: Bytes) -> Option<(Route, Message)> {
        match self {
            Self::Done => None,
            Self::Later { delay, message } => Some((Route::Later(delay), message)),
            Self::Dead {
                reason,
                mut message,
            } => {
                message.headers.push((REASON, reason.to_owned()));
                Some((Route::Grave(Lane::Dead), message))
            }
            Self::Poison { reason } => {
                let headers = vec![(REASON, reason), (FROM, lane.as_str().to_owned())];
                let message = Message {
                    id: String::new(),
                    kind: UNREADABLE,
                    headers,
                    body,
                };
                Some((Route::Grave(Lane::Poison), message))
            }
        }
    }
}
