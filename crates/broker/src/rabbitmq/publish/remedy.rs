//! What is done about a queue that nacks lastingly, or does not confirm at all. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// Doubled after each remedy that did not help.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const MAX_WAIT: Duration = Duration::from_secs(60);
/// A new connection makes all publishes in flight on the old one unknown: it is a rare remedy.
pub(super) const CONNECTION_INTERVAL: Duration = Duration::from_secs(300);

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The last remedy has not had its time yet.
    Wait,
    /// New channels: RabbitMQ keeps "this queue is full" for each channel, and a channel that was
    /// told so does not always hear that it is over.
    NewChannels,
    /// A new connection, to another node if there is one.
    NewConnection,
}

/// The remedies tried for one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Escalation {
    /// How often new channels are tried before a new connection.
    channels_first: u32,
    tried: u32,
    not_before: Option<Instant>,
    connected_at: Option<Instant>,
}

impl Escalation {
    pub(super) const fn new(channels_first: u32) -> Self {
        Self {
            channels_first,
            tried: 0,
            not_before: None,
            connected_at: None,
        }
    }

    /// The remedy for a trouble that is still there at `now`.
    pub(super) fn next(&mut self, now: Instant) -> Remedy {
        if self.not_before.is_some_and(|not_before| now < not_before) {
            return Remedy::Wait;
        }
        let wait = FIRST_WAIT
            .saturating_mul(1 << self.tried.min(5))
            .min(MAX_WAIT);
        self.not_before = Some(now + wait);
        self.tried = self.tried.saturating_add(1);
        let rested = self
            .connected_at
            .is_none_or(|at| now.duration_since(at) >= CONNECTION_INTERVAL);
        if self.tried > self.channels_first && rested {
            self.connected_at = Some(now);
            Remedy::NewConnection
        } else {
            Remedy::NewChannels
        }
    }

    /// The queue confirms again.
    pub(super) const fn healed(&mut self) {
        self.tried = 0;
        self.not_before = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_channels_come_first_then_a_connection_and_the_waits_grow() {
        let (mut escalation, mut now) = (Escalation::new(2), Instant::now());
        let mut remedies = Vec::new();
        let began = now;
        while now < began + Duration::from_secs(120) {
            match escalation.next(now) {
                Remedy::Wait => {}
                remedy => remedies.push((now.duration_since(began).as_secs(), remedy)),
            }
            now += Duration::from_secs(1);
        }
        let channels = Remedy::NewChannels;
        let expected = [
            (0, channels),
            (2, channels),
            (6, Remedy::NewConnection),
            (14, channels),
            (30, channels),
            (62, channels),
        ];
        assert_eq!(remedies, expected);
    }

    #[test]
    fn a_queue_that_heals_begins_anew_but_gets_no_connection_again_at_once() {
        let (mut escalation, now) = (Escalation::new(0), Instant::now());
        assert_eq!(escalation.next(now), Remedy::NewConnection);
        escalation.healed();
        assert_eq!(escalation.next(now), Remedy::NewChannels);
        assert_eq!(escalation.next(now), Remedy::Wait);
        let later = now + CONNECTION_INTERVAL;
        assert_eq!(escalation.next(later), Remedy::NewConnection);
    }
}
