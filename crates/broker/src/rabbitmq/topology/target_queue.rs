//! The queues that messages are published to, numbered: what is known of each fits into an array.

use super::delay::{DelayEntry, LEVELS};
use super::objects::{FIRST_KEY, RECORD_KEY, Topology};
use crate::confirms::DELAYED;
use crate::message::{Queue, Route};

/// Every queue, by its name without the prefix: those of [`Queue::ALL`], then the delay queues.
const NAMES: [&str; DESTINATIONS] = [
    "first",
    "retry",
    "delivery_limit",
    "unrouted",
    "dead",
    "unreadable",
    "journal",
    "delay.00",
    "delay.01",
    "delay.02",
    "delay.03",
    "delay.04",
    "delay.05",
    "delay.06",
    "delay.07",
    "delay.08",
    "delay.09",
    "delay.10",
    "delay.11",
    "delay.12",
    "delay.13",
    "delay.14",
    "delay.15",
    "delay.16",
    "delay.17",
    "delay.18",
    "delay.19",
];

/// The number of queues.
pub(in crate::rabbitmq) const DESTINATIONS: usize = Queue::ALL.len() + LEVELS as usize;

/// A queue of the topology, as a target of publishes or as a place whose depth is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::rabbitmq) struct TargetQueue(usize);

impl TargetQueue {
    /// Every queue.
    pub(in crate::rabbitmq) fn all() -> impl Iterator<Item = Self> {
        (0..DESTINATIONS).map(Self)
    }

    /// The queue that a reader knows by this name.
    pub(in crate::rabbitmq) const fn of_queue(queue: Queue) -> Self {
        Self(match queue {
            Queue::First => 0,
            Queue::Retry => 1,
            Queue::DeliveryLimit => 2,
            Queue::Unrouted => 3,
            Queue::Dead => 4,
            Queue::Unreadable => 5,
            Queue::Journal => 6,
        })
    }

    /// Its position in an array of [`DESTINATIONS`].
    pub(in crate::rabbitmq) const fn index(self) -> usize {
        self.0
    }

    /// Its bit in a set of destinations.
    pub(in crate::rabbitmq) const fn bit(self) -> u32 {
        1 << self.0
    }

    /// The name used in logs, metrics and states: without the prefix.
    pub(in crate::rabbitmq) const fn name(self) -> &'static str {
        NAMES[self.0]
    }

    /// The same with one name for all delay queues.
    pub(in crate::rabbitmq) const fn group_name(self) -> &'static str {
        match self.level() {
            Some(_) => DELAYED,
            None => self.name(),
        }
    }

    /// The delay level, if it is a delay queue.
    const fn level(self) -> Option<u32> {
        match self.0.checked_sub(Queue::ALL.len()) {
            // There are 20 levels.
            #[expect(clippy::cast_possible_truncation, reason = "at most 20")]
            Some(level) => Some(level as u32),
            None => None,
        }
    }

    /// The exchange through which it is published to.
    pub(in crate::rabbitmq) fn exchange(self, topology: &Topology) -> String {
        match (self.level(), self.0) {
            (Some(level), _) => topology.delay_level(level),
            (None, 0) => topology.first_exchange(),
            (None, 1) => topology.due_exchange(),
            (None, position) => topology.queue_name(Queue::ALL[position]),
        }
    }
}

/// Where a message is published: the queue that will hold it, and the address in the broker.
#[derive(Debug)]
pub(in crate::rabbitmq) struct Address {
    pub(in crate::rabbitmq) destination: TargetQueue,
    pub(in crate::rabbitmq) exchange: String,
    pub(in crate::rabbitmq) routing_key: String,
}

impl Address {
    /// The address of a route.
    pub(in crate::rabbitmq) fn new(route: &Route, topology: &Topology) -> Self {
        let (destination, routing_key) = match route {
            Route::First => (TargetQueue::of_queue(Queue::First), FIRST_KEY.to_owned()),
            Route::Record => (TargetQueue::of_queue(Queue::Journal), RECORD_KEY.to_owned()),
            Route::Terminal(queue) => (TargetQueue::of_queue(*queue), String::new()),
            Route::Later(delay) => {
                let entry = DelayEntry::new(*delay);
                let position = Queue::ALL.len() + entry.level as usize;
                (TargetQueue(position), entry.routing_key)
            }
        };
        Self {
            destination,
            exchange: destination.exchange(topology),
            routing_key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_queue_has_its_number_and_its_name() {
        for (position, queue) in Queue::ALL.into_iter().enumerate() {
            let destination = TargetQueue::of_queue(queue);
            assert_eq!(destination.index(), position);
            assert_eq!(destination.name(), queue.as_str());
        }
        let bits: u32 = TargetQueue::all().map(TargetQueue::bit).sum();
        assert_eq!(bits.count_ones() as usize, DESTINATIONS);
    }

    #[test]
    fn a_delay_is_published_to_the_queue_of_its_highest_bit() {
        let topology = Topology::new("p");
        for (seconds, name) in [(1, "delay.00"), (5, "delay.02"), (64, "delay.06")] {
            let route = Route::Later(Duration::from_secs(seconds));
            let address = Address::new(&route, &topology);
            assert_eq!(address.destination.name(), name);
            assert_eq!(address.exchange, format!("p.{name}"));
        }
        let address = Address::new(&Route::First, &topology);
        assert_eq!(
            (&*address.exchange, &*address.routing_key),
            ("p.in", "first")
        );
        let address = Address::new(&Route::Terminal(Queue::Dead), &topology);
        assert_eq!(address.exchange, "p.dead");
    }
}
