//! Messages, where they are published, and the queues that can be read.

use bytes::Bytes;
use std::time::Duration;

/// A message: bytes, and what people see of them in the broker's console.
#[derive(Clone, Debug)]
pub struct BrokerMessage {
    /// Shown as the message's id; the broker does not interpret it.
    pub id: String,
    /// The format of the body, for instance `callback.v2`.
    pub kind: &'static str,
    /// Headers for people. The program only interprets the body.
    pub headers: Vec<(&'static str, String)>,
    /// The body, which the broker never decodes.
    pub body: Bytes,
}

/// A queue that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// First attempts.
    First,
    /// Retries and deferred work that are due.
    Retry,
    /// Messages that were delivered too often without being settled.
    DeliveryLimit,
    /// Messages that matched no binding; the broker confirms them anyway.
    Unrouted,
    /// Dead letters.
    Dead,
    /// Bytes that cannot be decoded.
    Unreadable,
    /// Batches of records for the journal.
    Journal,
}

impl Queue {
    /// Every queue, in the order of the topology.
    pub const ALL: [Self; 7] = [
        Self::First,
        Self::Retry,
        Self::DeliveryLimit,
        Self::Unrouted,
        Self::Dead,
        Self::Unreadable,
        Self::Journal,
    ];

    /// The name used in queue names, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::DeliveryLimit => "delivery_limit",
            Self::Unrouted => "unrouted",
            Self::Dead => "dead",
            Self::Unreadable => "unreadable",
            Self::Journal => "journal",
        }
    }
}

/// Where a message is published.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// The queue of first attempts, at once.
    First,
    /// The retry queue, after a delay.
    Later(Duration),
    /// The queue of records.
    Record,
    /// A queue that no worker consumes: dead letters and the like.
    Terminal(Queue),
}
