//! The state of a connection, and the depth of each queue.

use crate::message::Queue;
use std::fmt;

/// The state of a connection to the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnectionState {
    /// It has not been up since the process started; the text is the last error.
    NeverConnected(String),
    /// Up, and accepting messages.
    Connected,
    /// Up, but the broker accepts no messages; the text is the broker's reason.
    Blocked(String),
    /// It was up and is down; the text says why.
    Disconnected(String),
}

impl ConnectionState {
    /// Whether the connection is up, blocked or not.
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Connected | Self::Blocked(_))
    }
}

impl fmt::Display for ConnectionState {
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

/// The number of ready messages in each queue, as last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// First attempts.
    pub first: u32,
    /// Retries and deferred work that are due.
    pub retry: u32,
    /// Messages that reached the delivery limit and wait for the rescuer.
    pub delivery_limit: u32,
    /// Unrouted messages that wait for the rescuer.
    pub unrouted: u32,
    /// Dead letters.
    pub dead: u32,
    /// Unreadable messages.
    pub unreadable: u32,
    /// Batches of records for the journal. Not part of the backlog: they have a separate limit.
    pub journal: u32,
}

impl Depths {
    /// The depth of one queue.
    pub const fn of(&self, queue: Queue) -> u32 {
        match queue {
            Queue::First => self.first,
            Queue::Retry => self.retry,
            Queue::DeliveryLimit => self.delivery_limit,
            Queue::Unrouted => self.unrouted,
            Queue::Dead => self.dead,
            Queue::Unreadable => self.unreadable,
            Queue::Journal => self.journal,
        }
    }

    /// Sets the depth of one queue.
    pub(crate) const fn set(&mut self, queue: Queue, depth: u32) {
        *match queue {
            Queue::First => &mut self.first,
            Queue::Retry => &mut self.retry,
            Queue::DeliveryLimit => &mut self.delivery_limit,
            Queue::Unrouted => &mut self.unrouted,
            Queue::Dead => &mut self.dead,
            Queue::Unreadable => &mut self.unreadable,
            Queue::Journal => &mut self.journal,
        } = depth;
    }

    /// The work that waits for a dispatcher. Ingress rejects callbacks by it.
    pub const fn backlog(&self) -> u32 {
        self.first.saturating_add(self.retry)
    }
}
