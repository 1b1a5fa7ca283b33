//! What goes into a queue, and which queues can be read?

use bytes::Bytes;

/// A message: bytes, and what people see of them in the broker's console.
#[derive(Clone, Debug)]
pub struct Message {
    /// Shown as the message's id; the broker does not interpret it.
    pub id: String,
    /// The format of the body, for instance `callback.v1`.
    pub kind: &'static str,
    /// Headers for people. Nothing in the program decides by them: the body alone counts.
    pub headers: Vec<(&'static str, String)>,
    /// The body, never looked into.
    pub body: Bytes,
}

/// A queue that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// First attempts.
    First,
    /// Retries and parked work, when they are due.
    Retry,
    /// What was handed out too often without being settled.
    DeliveryLimit,
    /// What no binding wanted; the broker confirmed it all the same.
    Unrouted,
    /// Given up.
    Dead,
    /// Unreadable bytes.
    Poison,
    /// Records on their way to the journal.
    Journal,
}

impl Lane {
    /// Every lane, in the order of the topology.
    pub const ALL: [Self; 7] = [
        Self::First,
        Self::Retry,
        Self::DeliveryLimit,
        Self::Unrouted,
        Self::Dead,
        Self::Poison,
        Self::Journal,
    ];

    /// The lane's name in queue names, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Retry => "retry",
            Self::DeliveryLimit => "delivery_limit",
            Self::Unrouted => "unrouted",
            Self::Dead => "dead",
            Self::Poison => "poison",
            Self::Journal => "journal",
        }
    }
}
