//! Why a connection has ended, for the metrics.

/// Why a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// The client or the server closed it, or it broke.
    Closed,
    HeadTimeout,
    BodyTimeout,
    UnreadAnswer,
    /// It was idle for longest when a new one needed its place.
    Shed,
    /// There were too many, and none was idle.
    MaxConnections,
    /// Its peer had too many.
    MaxConnectionsPerPeer,
}

impl CloseReason {
    pub(super) const ALL: [Self; 7] = [
        Self::Closed,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::UnreadAnswer,
        Self::Shed,
        Self::MaxConnections,
        Self::MaxConnectionsPerPeer,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::UnreadAnswer => "unread_answer",
            Self::Shed => "shed",
            Self::MaxConnections => "max_connections",
            Self::MaxConnectionsPerPeer => "max_connections_per_peer",
        }
    }
}
