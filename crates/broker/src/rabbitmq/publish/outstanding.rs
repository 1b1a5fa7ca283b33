//! The unconfirmed publishes of one channel, and how many each queue may have. Pure: the time is an
//! argument.
//!
//! A queue that does not confirm must not take the channel from the others. So each queue has a
//! window of unconfirmed publishes, which grows with each confirm, and a publish that is past its
//! deadline takes no place of the channel any more. RabbitMQ stops reading from a connection on
//! which a silent queue has a few hundred unconfirmed publishes: on a new channel the window
//! begins below that.

use crate::rabbitmq::topology::target_queue::{DESTINATIONS, TargetQueue};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// lapin scans all pending tags at each `multiple` confirm: more in flight costs more than it
/// gains.
pub(super) const MAX_IN_FLIGHT: usize = 1_000;
/// Of each queue on a new channel, and after a publish passed its deadline.
const FIRST_WINDOW: usize = 64;
/// How long a publish may be unconfirmed before its channel is given up: longer than the election
/// of a new leader and RabbitMQ's detection of a silent node with `net_ticktime = 15`.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(25);
/// A queue that has nacked every publish for this long does so lastingly.
const LASTING_NACKS: Duration = Duration::from_secs(2);

/// The unconfirmed publishes of one channel. `R` is what waits for the answer.
#[derive(Debug)]
pub(super) struct Outstanding<R> {
    entries: HashMap<u64, Entry<R>>,
    next_id: u64,
    /// In the order of the publishes. Confirmed ones are skipped.
    deadlines: VecDeque<(Instant, u64)>,
    /// Those past their deadline, in the same order.
    give_ups: VecDeque<(Instant, u64)>,
    /// Unconfirmed and not past the deadline.
    in_time: usize,
    by_destination: [OfDestination; DESTINATIONS],
}

#[derive(Debug)]
struct Entry<R> {
    destination: TargetQueue,
    published: Instant,
    /// Taken when it is answered.
    reply: Option<R>,
    /// Whether the publisher waits beyond the deadline.
    patient: bool,
    overdue: bool,
}

#[derive(Clone, Copy, Debug)]
struct OfDestination {
    in_time: usize,
    window: usize,
    /// The first nack after the last ack.
    nacked_since: Option<Instant>,
}

/// A publish whose confirm has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Confirmed<R> {
    pub(super) destination: TargetQueue,
    /// When it was written.
    pub(super) published: Instant,
    /// `None`: it has been told "unknown" at the deadline.
    pub(super) reply: Option<R>,
    /// It was past its deadline.
    pub(super) overdue: bool,
    /// It is a nack, and so were all for some time.
    pub(super) lasting_nacks: bool,
}

impl<R> Default for Outstanding<R> {
    fn default() -> Self {
        let unused = OfDestination {
            in_time: 0,
            window: FIRST_WINDOW,
            nacked_since: None,
        };
        Self {
            entries: HashMap::new(),
            next_id: 0,
            deadlines: VecDeque::new(),
            give_ups: VecDeque::new(),
            in_time: 0,
            by_destination: [unused; DESTINATIONS],
        }
    }
}

impl<R> Outstanding<R> {
    /// Whether a publish to this queue may be written now.
    pub(super) fn has_room(&self, destination: TargetQueue) -> bool {
        let of = &self.by_destination[destination.index()];
        self.in_time < MAX_IN_FLIGHT && of.in_time < of.window
    }

    /// Notes a publish; returns its number.
    pub(super) fn begin(
        &mut self,
        destination: TargetQueue,
        now: Instant,
        deadline: Instant,
        patient: bool,
        reply: R,
    ) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.in_time += 1;
        self.by_destination[destination.index()].in_time += 1;
        self.deadlines.push_back((deadline, id));
        let entry = Entry {
            destination,
            published: now,
            reply: Some(reply),
            patient,
            overdue: false,
        };
        self.entries.insert(id, entry);
        id
    }

    /// Takes in the confirm of a publish. `None`: it was given up before.
    pub(super) fn confirmed(&mut self, id: u64, acked: bool, now: Instant) -> Option<Confirmed<R>> {
        let entry = self.entries.remove(&id)?;
        let of = &mut self.by_destination[entry.destination.index()];
        if !entry.overdue {
            self.in_time -= 1;
            of.in_time -= 1;
        }
        let mut lasting_nacks = false;
        if acked {
            of.nacked_since = None;
            of.window = (of.window + 1).min(MAX_IN_FLIGHT);
        } else {
            let since = *of.nacked_since.get_or_insert(now);
            lasting_nacks = now.duration_since(since) >= LASTING_NACKS;
        }
        Some(Confirmed {
            destination: entry.destination,
            published: entry.published,
            reply: entry.reply,
            overdue: entry.overdue,
            lasting_nacks,
        })
    }

    /// Marks what is past its deadline. Returns the queue of each and when it was written, with the
    /// reply unless the publisher waits on.
    pub(super) fn pass_deadlines(
        &mut self,
        now: Instant,
    ) -> Vec<(TargetQueue, Instant, Option<R>)> {
        let mut passed = Vec::new();
        while let Some((deadline, id)) = self.deadlines.front().copied() {
            if let Some(entry) = self.entries.get_mut(&id) {
                if deadline > now {
                    break;
                }
                entry.overdue = true;
                self.give_ups
                    .push_back((entry.published + GIVE_UP_AFTER, id));
                self.in_time -= 1;
                let of = &mut self.by_destination[entry.destination.index()];
                of.in_time -= 1;
                of.window = FIRST_WINDOW;
                let reply = match entry.patient {
                    true => None,
                    false => entry.reply.take(),
                };
                passed.push((entry.destination, entry.published, reply));
            }
            self.deadlines.pop_front();
        }
        passed
    }

    /// Forgets what has been unconfirmed for too long. Returns the queue and the reply of each.
    pub(super) fn give_up(&mut self, now: Instant) -> Vec<(TargetQueue, Option<R>)> {
        let mut given_up = Vec::new();
        while let Some((at, id)) = self.give_ups.front().copied() {
            let unconfirmed = self.entries.contains_key(&id);
            if unconfirmed && at > now {
                break;
            }
            self.give_ups.pop_front();
            if let Some(entry) = self.entries.remove(&id) {
                given_up.push((entry.destination, entry.reply));
            }
        }
        given_up
    }

    /// Whether nothing is unconfirmed, late or not.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether nobody waits for any of the unconfirmed publishes.
    pub(super) fn is_answered(&self) -> bool {
        self.in_time == 0 && self.entries.values().all(|it| it.reply.is_none())
    }

    /// The queue of each publish that is past its deadline: taken when the channel ends.
    pub(super) fn overdue(&self) -> impl Iterator<Item = TargetQueue> {
        let entries = self.entries.values();
        entries.filter(|it| it.overdue).map(|it| it.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Queue;

    const FIRST: TargetQueue = TargetQueue::of_queue(Queue::First);
    const DEAD: TargetQueue = TargetQueue::of_queue(Queue::Dead);
    const DEADLINE: Duration = Duration::from_secs(5);
    const MOMENT: Duration = Duration::from_millis(1);

    fn begin(table: &mut Outstanding<u32>, to: TargetQueue, now: Instant) -> u64 {
        table.begin(to, now, now + DEADLINE, false, 7)
    }

    #[test]
    fn a_queue_that_does_not_confirm_leaves_room_for_the_others() {
        let (mut table, now) = (Outstanding::default(), Instant::now());
        while table.has_room(FIRST) {
            begin(&mut table, FIRST, now);
        }
        assert_eq!(table.in_time, FIRST_WINDOW);
        assert!(table.has_room(DEAD));
        // Past their deadline they take no place at all.
        let passed = table.pass_deadlines(now + DEADLINE);
        assert_eq!(passed.len(), FIRST_WINDOW);
        assert!(table.is_answered() && !table.is_empty());
        assert_eq!(table.overdue().count(), FIRST_WINDOW);
    }

    #[test]
    fn the_window_grows_with_each_confirm_up_to_what_the_channel_bears() {
        let (mut table, now) = (Outstanding::default(), Instant::now());
        for _ in 0..2 * MAX_IN_FLIGHT {
            let id = begin(&mut table, FIRST, now);
            table.confirmed(id, true, now).unwrap();
        }
        while table.has_room(FIRST) {
            begin(&mut table, FIRST, now);
        }
        assert_eq!(table.in_time, MAX_IN_FLIGHT);
        table.pass_deadlines(now + DEADLINE);
        while table.has_room(FIRST) {
            begin(&mut table, FIRST, now);
        }
        assert_eq!(table.in_time, FIRST_WINDOW);
    }

    #[test]
    fn a_publish_past_its_deadline_is_answered_once_and_its_late_confirm_is_seen() {
        let (mut table, now) = (Outstanding::default(), Instant::now());
        let id = begin(&mut table, FIRST, now);
        assert!(table.pass_deadlines(now + DEADLINE - MOMENT).is_empty());
        let passed = table.pass_deadlines(now + DEADLINE);
        assert_eq!(passed, [(FIRST, now, Some(7))]);
        assert!(table.pass_deadlines(now + DEADLINE).is_empty());
        let late = table.confirmed(id, true, now + 2 * DEADLINE).unwrap();
        assert_eq!((late.reply, late.overdue), (None, true));
        assert!(table.is_empty());
    }

    #[test]
    fn a_patient_publisher_waits_until_the_publish_is_given_up() {
        let (mut table, now) = (Outstanding::default(), Instant::now());
        let id = table.begin(FIRST, now, now + DEADLINE, true, 7);
        assert_eq!(table.pass_deadlines(now + DEADLINE), [(FIRST, now, None)]);
        assert!(table.give_up(now + GIVE_UP_AFTER - MOMENT).is_empty());
        assert_eq!(table.give_up(now + GIVE_UP_AFTER), [(FIRST, Some(7))]);
        assert!(table.is_empty());
        assert_eq!(table.confirmed(id, true, now + GIVE_UP_AFTER), None);
    }

    #[test]
    fn a_retired_channel_is_not_answered_while_anybody_waits_for_a_confirm() {
        let (mut table, now) = (Outstanding::default(), Instant::now());
        table.begin(FIRST, now, now + DEADLINE, true, 7);
        let late = begin(&mut table, FIRST, now);
        assert!(!table.is_answered());
        table.pass_deadlines(now + DEADLINE);
        // The one was told "unknown"; the patient one still waits.
        assert!(!table.is_answered());
        table.confirmed(late, true, now + DEADLINE);
        assert!(!table.is_answered());
        table.give_up(now + GIVE_UP_AFTER);
        assert!(table.is_answered() && table.is_empty());
    }

    #[test]
    fn one_ack_ends_what_would_become_lasting_nacks() {
        let (mut table, now) = (Outstanding::default(), Instant::now());
        let nack = |table: &mut Outstanding<u32>, acked, at| {
            let id = begin(table, FIRST, at);
            table.confirmed(id, acked, at).unwrap().lasting_nacks
        };
        assert!(!nack(&mut table, false, now));
        assert!(!nack(&mut table, true, now + LASTING_NACKS - MOMENT));
        assert!(!nack(&mut table, false, now + LASTING_NACKS));
        assert!(!nack(&mut table, false, now + 2 * LASTING_NACKS - MOMENT));
        assert!(nack(&mut table, false, now + 2 * LASTING_NACKS));
    }

    #[test]
    fn what_is_confirmed_in_time_leaves_nothing_behind() {
        let (mut table, mut now) = (Outstanding::default(), Instant::now());
        let stuck = begin(&mut table, DEAD, now);
        for _ in 0..10_000 {
            let id = begin(&mut table, FIRST, now);
            table.confirmed(id, true, now).unwrap();
            now += MOMENT;
            table.pass_deadlines(now);
        }
        // Only what follows the oldest unconfirmed one, for no longer than a deadline.
        assert!(table.deadlines.len() <= 5_001, "{}", table.deadlines.len());
        table.confirmed(stuck, true, now);
        now += DEADLINE;
        table.pass_deadlines(now);
        assert_eq!((table.deadlines.len(), table.entries.len()), (0, 0));
    }
}
