//! Why a publish is not confirmed.

/// Why a message is not known to be durable.
///
/// The difference matters to the publisher: a refused message can be sent again without a
/// duplicate; an unknown one may already be delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The message was never written: it will not be delivered.
    #[error("refused: {0}")]
    Refused(RefusedReason),
    /// The message was, or may have been, written, and no confirm arrived.
    #[error("unknown: {0}")]
    Unknown(UnknownReason),
}

/// Why a message was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedReason {
    /// There is no connection to the broker.
    #[error("not connected to the broker")]
    NotConnected,
    /// The broker accepts no messages at present (memory or disk alarm).
    #[error("the broker is blocking publishers")]
    Blocked,
    /// The embedded store keeps `broker.min_free_bytes` free for what it has accepted.
    #[error("the disk is low on space, and new callbacks are refused")]
    LowDisk,
    /// The publisher's queue of unconfirmed messages is full.
    #[error("too many messages are waiting for a confirm")]
    InboxFull,
    /// Earlier messages for the same queue are past their deadline and not confirmed.
    #[error("the broker does not confirm earlier messages for this queue")]
    Unconfirmed,
    /// The exchange that leads to the queue does not exist.
    #[error("an exchange is missing in the broker")]
    Missing,
    /// The deadline passed before the message was written.
    #[error("the deadline passed before the message was written")]
    TooLate,
}

/// Why it is unknown whether a written message is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownReason {
    /// No confirm arrived in time.
    #[error("no confirm within the deadline")]
    Deadline,
    /// The connection or channel was lost before the confirm.
    #[error("the connection was lost before the confirm")]
    ConnectionLost,
    /// The broker answered that it did not store the message. This does not count as refused: a
    /// queue that changes its leader may nack a message that it kept.
    #[error("the broker nacked the message")]
    Nacked,
    /// A message was returned as unroutable. With pipelined publishes it is uncertain which, so
    /// every message in flight on that channel is unknown.
    #[error("the broker returned a message")]
    Returned,
}

impl PublishError {
    /// The kind as a metric label.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Unknown(_) => "unknown",
        }
    }
}
