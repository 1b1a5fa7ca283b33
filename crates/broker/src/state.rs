//! What can be seen of the broker from outside: is it there, and how much waits in it?

use std::fmt;

/// The state of a connection to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It has never been up since the process began.
    NeverConnected(String),
    /// Up, and taking messages.
    Connected,
    /// Up, but the broker takes no messages; the text is the broker's reason.
    Blocked(String),
    /// It was up and is down; the text says why.
    Disconnected(String),
}

impl State {
    /// Whether the connection stands, blocked or not.
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Connected | Self::Blocked(_))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverConnected(reason) if reason.is_empty() => f.write_str("never connected"),
            Self::NeverConnected(reason) => write!(f, "never connected: {reason}"),
            Self::Connected => f.write_str("connected"),
            Self::Blocked(reason) => write!(f, "blocked: {reason}"),
            Self::Disconnected(reason) => write!(f, "disconnected: {reason}"),
        }
    }
}

/// How many messages are ready in each lane, as last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// First attempts waiting.
    pub first: u32,
    /// Retries and parked work that are due.
    pub retry: u32,
    /// Messages that hit the delivery limit and wait for their reader.
    pub delivery_limit: u32,
    /// Unrouted messages that wait for their reader.
    pub unrouted: u32,
    /// Dead letters.
    pub dead: u32,
    /// Unreadable messages.
    pub poison: u32,
    /// Batches of records that wait for the journal. Not a part of the backlog: it has a limit of
    /// its own.
    pub journal: u32,
}

impl Depths {
    /// The work that waits for a dispatcher now: what admission looks at.
    pub const fn backlog(&self) -> u32 {
        self.first.saturating_add(self.retry)
    }
}
