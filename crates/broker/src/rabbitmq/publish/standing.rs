//! Which channel a publish should go through. Pure but for the marks that the channels set.
//!
//! Measured on RabbitMQ 3.10 and seen in its source: the first publish of a channel to a quorum
//! queue asks the node that is noted as the leader, without a limit of time, and the whole channel
//! hangs until that node is declared down. A channel that has published to the queue before is told
//! of a new leader after 7 to 9 s and goes on. So while the cluster is unsettled, such a channel is
//! chosen.

use crate::rabbitmq::topology::target_queue::TargetQueue;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is known of one channel: sets of queues, by their bits. Written by the channel's task alone.
#[derive(Debug, Default)]
pub(super) struct ChannelStanding {
    confirmed: AtomicU32,
    overdue: AtomicU32,
}

/// How good a channel is for a publish; the least is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Preference {
    Good,
    /// It has never published to this queue while the cluster was settled, and the cluster is not
    /// settled now.
    New,
    /// Its node owes an answer.
    Doubtful,
    /// A publish to this queue is past its deadline on this channel.
    Overdue,
}

impl Preference {
    /// The best first.
    pub(super) const ALL: [Self; 4] = [Self::Good, Self::New, Self::Doubtful, Self::Overdue];
}

impl ChannelStanding {
    /// The queue has confirmed a publish of this channel.
    pub(super) fn confirmed(&self, destination: TargetQueue) {
        if self.confirmed.load(Ordering::Relaxed) & destination.bit() == 0 {
            self.confirmed
                .fetch_or(destination.bit(), Ordering::Relaxed);
        }
        self.answered(destination);
    }

    /// The queue has answered, by a confirm or a nack.
    pub(super) fn answered(&self, destination: TargetQueue) {
        if self.overdue.load(Ordering::Relaxed) & destination.bit() != 0 {
            self.overdue
                .fetch_and(!destination.bit(), Ordering::Relaxed);
        }
    }

    /// A publish to the queue is past its deadline.
    pub(super) fn overdue(&self, destination: TargetQueue) {
        self.overdue.fetch_or(destination.bit(), Ordering::Relaxed);
    }

    /// How good this channel is. `doubtful`: its node owes an answer. `unsettled`: the nodes may not
    /// agree on the queue's leader.
    pub(super) fn preference(
        &self,
        destination: TargetQueue,
        doubtful: bool,
        unsettled: bool,
    ) -> Preference {
        let is_in = |set: &AtomicU32| set.load(Ordering::Relaxed) & destination.bit() != 0;
        if is_in(&self.overdue) {
            Preference::Overdue
        } else if doubtful {
            Preference::Doubtful
        } else if unsettled && !is_in(&self.confirmed) {
            Preference::New
        } else {
            Preference::Good
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Queue;

    const FIRST: TargetQueue = TargetQueue::of_queue(Queue::First);
    const DEAD: TargetQueue = TargetQueue::of_queue(Queue::Dead);

    #[test]
    fn while_unsettled_a_channel_that_has_published_to_the_queue_is_preferred() {
        let standing = ChannelStanding::default();
        assert_eq!(standing.preference(FIRST, false, false), Preference::Good);
        assert_eq!(standing.preference(FIRST, false, true), Preference::New);
        standing.confirmed(FIRST);
        assert_eq!(standing.preference(FIRST, false, true), Preference::Good);
        assert_eq!(standing.preference(DEAD, false, true), Preference::New);
        assert_eq!(standing.preference(FIRST, true, true), Preference::Doubtful);
    }

    #[test]
    fn a_channel_with_an_overdue_publish_is_the_last_choice_until_the_queue_answers() {
        let standing = ChannelStanding::default();
        standing.confirmed(FIRST);
        standing.overdue(FIRST);
        assert_eq!(standing.preference(FIRST, false, true), Preference::Overdue);
        assert_eq!(standing.preference(DEAD, false, false), Preference::Good);
        standing.answered(FIRST);
        assert_eq!(standing.preference(FIRST, false, true), Preference::Good);
        assert!(Preference::ALL.is_sorted());
    }
}
