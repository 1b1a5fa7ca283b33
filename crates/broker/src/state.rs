//! The state of a connection, and the depth of each queue.

use crate::message::Queue;
use std::fmt;
use std::time::Duration;

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
    /// The embedded store cannot be used before an operator has repaired it; the text says what is
    /// wrong and what to do.
    Unusable(String),
}

impl ConnectionState {
    /// Whether the connection is up, blocked or not.
    pub const fn is_up(&self) -> bool {
        matches!(self, Self::Connected | Self::Blocked(_))
    }

    /// Whether only an operator can bring it back.
    pub const fn is_unusable(&self) -> bool {
        matches!(self, Self::Unusable(_))
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
            Self::Unusable(reason) => write!(f, "unusable: {reason}"),
        }
    }
}

/// The number of messages in a queue, as last reported.
///
/// It starts as unknown, which is not zero. A value that could not be read again is kept and marked
/// stale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    messages: Option<u32>,
    stale: bool,
}

impl Depth {
    /// What has just been reported.
    pub const fn fresh(messages: u32) -> Self {
        Self {
            messages: Some(messages),
            stale: false,
        }
    }

    /// A value that could not be read again.
    pub const fn stale(messages: u32) -> Self {
        Self {
            messages: Some(messages),
            stale: true,
        }
    }

    /// The last value, stale or not; `None`: it has never been reported.
    pub const fn last_known(self) -> Option<u32> {
        self.messages
    }

    /// The value, if the last attempt to read it succeeded.
    pub const fn current(self) -> Option<u32> {
        if self.stale { None } else { self.messages }
    }

    /// Whether the value could not be read again.
    pub const fn is_stale(self) -> bool {
        self.stale
    }

    /// The same value, marked as one that could not be read again.
    pub(crate) const fn into_stale(mut self) -> Self {
        self.stale = self.messages.is_some();
        self
    }

    /// The sum; unknown if either is, and stale if either is.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        let messages = match (self.messages, other.messages) {
            (Some(one), Some(two)) => Some(one.saturating_add(two)),
            (None, _) | (_, None) => None,
        };
        Self {
            messages,
            stale: messages.is_some() && (self.stale || other.stale),
        }
    }
}

/// The number of messages that wait in each queue, those in flight excluded, as last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// First attempts.
    pub first: Depth,
    /// Retries and deferred work that are due.
    pub retry: Depth,
    /// Messages that reached the delivery limit and wait for the rescuer.
    pub delivery_limit: Depth,
    /// Unrouted messages that wait for the rescuer.
    pub unrouted: Depth,
    /// Dead letters.
    pub dead: Depth,
    /// Unreadable messages.
    pub unreadable: Depth,
    /// Batches of records for the journal. Not part of the backlog: they have a separate limit.
    pub journal: Depth,
    /// Delayed messages that are not due: retries, deferred work, and callbacks with a delay.
    pub delayed: Depth,
    /// How long the oldest message of the backlog has been due; `None`: nothing is due, or it is
    /// unknown (always with RabbitMQ).
    pub oldest_due_age: Option<Duration>,
    /// The bytes that the messages of all queues take in the store's file, with their order;
    /// `None`: unknown (always with RabbitMQ).
    pub stored_bytes: Option<u64>,
    /// How many consumers each queue has, of all processes, in the order of [`Queue::ALL`]; `None`:
    /// unknown (always of the embedded store).
    pub consumers: [Option<u32>; 7],
}

impl Depths {
    /// The depth of one queue.
    pub const fn of(&self, queue: Queue) -> Depth {
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
    pub(crate) const fn set(&mut self, queue: Queue, depth: Depth) {
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

    /// Marks every value stale.
    pub(crate) fn mark_stale(&mut self) {
        for queue in Queue::ALL {
            self.set(queue, self.of(queue).into_stale());
        }
        self.delayed = self.delayed.into_stale();
        self.consumers = [None; 7];
    }

    /// The due work that waits for a dispatcher. Ingress rejects callbacks by it.
    pub const fn backlog(&self) -> Depth {
        self.first.plus(self.retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_not_zero_and_a_stale_value_is_kept_but_not_current() {
        let unknown = Depth::default();
        assert_eq!((unknown.last_known(), unknown.current()), (None, None));
        assert_eq!(unknown.into_stale(), unknown);
        let stale = Depth::fresh(7).into_stale();
        assert_eq!((stale.last_known(), stale.current()), (Some(7), None));
        assert!(stale.is_stale());
        assert_eq!(Depth::fresh(0).current(), Some(0));
    }

    #[test]
    fn a_sum_is_known_and_current_only_if_both_parts_are() {
        let (one, max) = (Depth::fresh(1), Depth::fresh(u32::MAX));
        assert_eq!(one.plus(Depth::fresh(2)), Depth::fresh(3));
        assert_eq!(one.plus(max), max);
        assert_eq!(one.plus(Depth::default()).last_known(), None);
        let sum = one.plus(Depth::fresh(2).into_stale());
        assert_eq!((sum.last_known(), sum.current()), (Some(3), None));
    }

    #[test]
    fn a_lost_connection_leaves_every_value_stale() {
        let mut depths = Depths {
            delayed: Depth::fresh(3),
            ..Depths::default()
        };
        for queue in Queue::ALL {
            depths.set(queue, Depth::fresh(2));
        }
        depths.mark_stale();
        assert!(depths.delayed.is_stale());
        assert!(Queue::ALL.iter().all(|queue| depths.of(*queue).is_stale()));
        assert_eq!(depths.backlog().last_known(), Some(4));
    }
}
