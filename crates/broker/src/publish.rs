//! How can a publish end, if not confirmed?

/// Why a message is not known to be durable.
///
/// The difference matters to whoever asked: a refused message may be sent again without a second
/// delivery; an unknown one may already be on its way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The message was never written: it will not be delivered.
    #[error("refused: {0}")]
    Refused(Refused),
    /// The message was written, or may have been, and nothing confirmed it.
    #[error("unknown: {0}")]
    Unknown(Unknown),
}

/// Why a message was not even written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no connection to the broker.
    #[error("not connected to the broker")]
    NotConnected,
    /// The broker takes no messages now (memory or disk alarm).
    #[error("the broker is blocking publishers")]
    Blocked,
    /// More messages wait for their confirm than the publisher holds.
    #[error("too many messages wait for their confirm")]
    InboxFull,
    /// The deadline passed before the message's turn came.
    #[error("the deadline passed before the message was written")]
    TooLate,
}

/// Why nobody can say whether a written message is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No confirm came in time.
    #[error("no confirm within the deadline")]
    Deadline,
    /// The connection or channel was lost before the confirm.
    #[error("the connection was lost before the confirm")]
    ConnectionLost,
    /// The broker answered that it did not store the message. It is not counted as refused: a queue
    /// that changes its leader may nack what it kept.
    #[error("the broker nacked the message")]
    Nacked,
    /// A message was returned as unroutable. Which one cannot be told while publishes are pipelined,
    /// so every message in flight on that channel is unknown.
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
