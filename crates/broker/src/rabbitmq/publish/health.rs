//! Which queues take publishes at present, over all channels of a publisher.

use super::remedy::{CONNECTION_INTERVAL, Escalation, Remedy};
use crate::faults::{FaultEvent, FaultKind};
use crate::rabbitmq::monitor::Monitor;
use crate::rabbitmq::topology::target_queue::{DESTINATIONS, TargetQueue};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// New channels that are tried before a new connection when a queue nacks.
const CHANNELS_FOR_NACKS: u32 = 5;
/// After a fault the cluster may not agree on its leaders yet: RabbitMQ needs up to 75 s to notice a
/// node that is silent.
const UNSETTLED_FOR: Duration = Duration::from_secs(80);

/// What is known of each queue. Shared by the channels' tasks and by those who publish.
#[derive(Debug)]
pub(super) struct PublishHealth {
    monitor: Arc<Monitor>,
    /// The queues to which nothing is published at present, by their bits.
    refusing: AtomicU32,
    /// The queues for which an ack is news.
    troubled: AtomicU32,
    queues: Mutex<[QueueHealth; DESTINATIONS]>,
    /// When the connection was last replaced, for whichever queue.
    connected_at: Mutex<Option<Instant>>,
    /// When the cluster counts as settled again.
    settled_at: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy, Debug)]
struct QueueHealth {
    /// Publishes past their deadline and not confirmed.
    overdue: usize,
    /// When the latest publish that is confirmed was written.
    confirmed_until: Option<Instant>,
    nacks: Escalation,
    silence: Escalation,
}

impl PublishHealth {
    pub(super) fn new(monitor: Arc<Monitor>) -> Self {
        let unknown = QueueHealth {
            overdue: 0,
            confirmed_until: None,
            nacks: Escalation::new(CHANNELS_FOR_NACKS),
            silence: Escalation::new(0),
        };
        Self {
            monitor,
            refusing: AtomicU32::new(0),
            troubled: AtomicU32::new(0),
            queues: Mutex::new([unknown; DESTINATIONS]),
            connected_at: Mutex::new(None),
            settled_at: Mutex::new(None),
        }
    }

    /// Whether a publish to this queue is past its deadline and not confirmed.
    pub(super) fn is_refusing(&self, destination: TargetQueue) -> bool {
        self.refusing.load(Ordering::Relaxed) & destination.bit() != 0
    }

    /// Whether the exchange that leads there is missing.
    pub(super) fn is_missing(&self, destination: TargetQueue) -> bool {
        self.monitor.is_missing(destination)
    }

    /// Asks for a check of the topology.
    pub(super) fn suspect_topology(&self) {
        self.monitor.suspect_topology();
    }

    /// A connection was lost, or a queue did not confirm: for a while a channel that has not
    /// published to a queue before may hang there.
    pub(super) fn unsettled(&self, now: Instant) {
        let mut settled_at = self.settled_at.lock();
        let settled_at = settled_at.as_deref_mut();
        if let Ok(settled_at) = settled_at {
            *settled_at = Some(now + UNSETTLED_FOR);
        }
    }

    /// Whether the cluster may not agree on its leaders at present.
    pub(super) fn is_unsettled(&self, now: Instant) -> bool {
        let settled_at = self.settled_at.lock();
        settled_at.is_ok_and(|at| at.is_some_and(|at| now < at))
    }

    /// A publish has passed its deadline. Its queue takes no more until it confirms one, unless the
    /// broker blocks all publishers (`refuse` is false), or the queue has confirmed what another
    /// channel wrote later: then the channel hangs and not the queue.
    pub(super) fn passed_deadline(
        &self,
        destination: TargetQueue,
        published: Instant,
        refuse: bool,
        now: Instant,
    ) {
        let mut queues = self.queues();
        let queue = &mut queues[destination.index()];
        queue.overdue += 1;
        let overtaken = queue.confirmed_until.is_some_and(|until| until > published);
        drop(queues);
        if !refuse {
            return;
        }
        self.unsettled(now);
        if overtaken {
            return;
        }
        self.refusing.fetch_or(destination.bit(), Ordering::Relaxed);
        self.troubled.fetch_or(destination.bit(), Ordering::Relaxed);
        let name = destination.name();
        self.monitor.count(FaultEvent::Overdue, name);
        let meaning = "a publish is not confirmed within its deadline: until it is, further ones \
                       to this queue are refused";
        self.monitor.raise(FaultKind::Unconfirmed, name, meaning);
    }

    /// A publish was confirmed.
    pub(super) fn acked(&self, destination: TargetQueue, published: Instant, overdue: bool) {
        let confirms = &self.monitor.confirms;
        confirms.durable(destination.group_name(), published.elapsed());
        let mut queues = self.queues();
        let queue = &mut queues[destination.index()];
        queue.confirmed_until = queue.confirmed_until.max(Some(published));
        if !overdue && self.troubled.load(Ordering::Relaxed) & destination.bit() == 0 {
            return;
        }
        let name = destination.name();
        if overdue {
            queue.overdue = queue.overdue.saturating_sub(1);
            self.monitor.count(FaultEvent::LateConfirm, name);
        }
        queue.nacks.healed();
        queue.silence.healed();
        self.troubled
            .fetch_and(!destination.bit(), Ordering::Relaxed);
        drop(queues);
        self.accept_again(destination);
        self.monitor.clear(FaultKind::Nacked, name);
    }

    /// A publish was nacked: an answer, but not the one that was hoped for. A channel on which that
    /// comes after the deadline was bound to a leader that is gone: measured on a cluster with a
    /// silent node, old channels went on nacking for 7 s when new ones were confirmed at once.
    pub(super) fn nacked(&self, destination: TargetQueue, overdue: bool, now: Instant) -> Remedy {
        self.monitor.count(FaultEvent::Nack, destination.name());
        self.troubled.fetch_or(destination.bit(), Ordering::Relaxed);
        if !overdue {
            return Remedy::Wait;
        }
        self.dropped(destination);
        self.accept_again(destination);
        self.queues()[destination.index()].nacks.next(now)
    }

    /// A publish that was past its deadline will not be heard of any more: its channel has ended.
    pub(super) fn dropped(&self, destination: TargetQueue) {
        let mut queues = self.queues();
        let queue = &mut queues[destination.index()];
        queue.overdue = queue.overdue.saturating_sub(1);
        let last = queue.overdue == 0;
        drop(queues);
        if last {
            self.accept_again(destination);
        }
    }

    fn accept_again(&self, destination: TargetQueue) {
        self.refusing
            .fetch_and(!destination.bit(), Ordering::Relaxed);
        let name = destination.name();
        self.monitor.clear(FaultKind::Unconfirmed, name);
    }

    /// All publishes to this queue have been nacked for a while.
    pub(super) fn lasting_nacks(&self, destination: TargetQueue, now: Instant) -> Remedy {
        let meaning = "the broker nacks every message for this queue: look for a length limit \
                       (policy) that it has reached";
        let name = destination.name();
        self.monitor.raise(FaultKind::Nacked, name, meaning);
        let remedy = self.queues()[destination.index()].nacks.next(now);
        self.at_most_one_connection(remedy, now)
    }

    /// A publish to this queue was not confirmed at all.
    pub(super) fn gave_up(&self, destination: TargetQueue, now: Instant) -> Remedy {
        let remedy = self.queues()[destination.index()].silence.next(now);
        self.at_most_one_connection(remedy, now)
    }

    /// All queues share the connection: it is not replaced for each of them in turn.
    fn at_most_one_connection(&self, remedy: Remedy, now: Instant) -> Remedy {
        if remedy != Remedy::NewConnection {
            return remedy;
        }
        let connected_at = self.connected_at.lock();
        let mut connected_at = connected_at.unwrap_or_else(PoisonError::into_inner);
        if connected_at.is_some_and(|at| now.duration_since(at) < CONNECTION_INTERVAL) {
            return Remedy::NewChannels;
        }
        *connected_at = Some(now);
        remedy
    }

    fn queues(&self) -> MutexGuard<'_, [QueueHealth; DESTINATIONS]> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Queue;

    const FIRST: TargetQueue = TargetQueue::of_queue(Queue::First);
    const DEAD: TargetQueue = TargetQueue::of_queue(Queue::Dead);

    fn health() -> (PublishHealth, Arc<Monitor>) {
        let monitor = Arc::new(Monitor::default());
        (PublishHealth::new(Arc::clone(&monitor)), monitor)
    }

    #[test]
    fn a_queue_is_refused_from_the_first_missed_deadline_to_the_first_late_confirm() {
        let (health, monitor) = health();
        let (faults, now) = (monitor.faults(), Instant::now());
        health.passed_deadline(FIRST, now, true, now);
        health.passed_deadline(FIRST, now, true, now);
        assert!(health.is_refusing(FIRST) && !health.is_refusing(DEAD));
        let shown = faults.borrow().to_string();
        assert_eq!(shown, "not confirming publishes: first");
        health.acked(FIRST, now, true);
        assert!(!health.is_refusing(FIRST) && faults.borrow().is_empty());
        let counts: Vec<_> = faults.borrow().counts().filter(|one| one.2 > 0).collect();
        let expected = [
            (FaultEvent::Overdue, "first", 2),
            (FaultEvent::LateConfirm, "first", 1),
        ];
        assert_eq!(counts, expected);
    }

    #[test]
    fn a_channel_that_ends_takes_its_overdue_publishes_along() {
        let ((health, _), now) = (health(), Instant::now());
        health.passed_deadline(FIRST, now, true, now);
        health.passed_deadline(FIRST, now, true, now);
        health.dropped(FIRST);
        assert!(health.is_refusing(FIRST));
        health.dropped(FIRST);
        assert!(!health.is_refusing(FIRST));
    }

    #[test]
    fn a_nack_after_the_deadline_lifts_the_refusal_and_asks_for_new_channels() {
        let ((health, _), now) = (health(), Instant::now());
        health.passed_deadline(FIRST, now, true, now);
        health.passed_deadline(FIRST, now, true, now);
        assert_eq!(health.nacked(FIRST, true, now), Remedy::NewChannels);
        assert!(!health.is_refusing(FIRST));
        // The others of the same channel come with it.
        assert_eq!(health.nacked(FIRST, true, now), Remedy::Wait);
    }

    #[test]
    fn a_queue_that_confirms_what_was_written_later_is_not_refused() {
        let ((health, _), now) = (health(), Instant::now());
        let moment = Duration::from_millis(1);
        health.acked(FIRST, now + moment, false);
        health.passed_deadline(FIRST, now, true, now + moment);
        assert!(!health.is_refusing(FIRST));
        health.passed_deadline(FIRST, now + moment, true, now + moment);
        assert!(health.is_refusing(FIRST));
    }

    #[test]
    fn after_a_fault_the_cluster_is_unsettled_for_a_while() {
        let ((health, _), now) = (health(), Instant::now());
        assert!(!health.is_unsettled(now));
        health.passed_deadline(FIRST, now, false, now);
        assert!(!health.is_unsettled(now));
        health.passed_deadline(FIRST, now, true, now);
        assert!(health.is_unsettled(now));
        assert!(!health.is_unsettled(now + UNSETTLED_FOR));
    }

    #[test]
    fn many_silent_queues_replace_their_connection_once() {
        let (health, _) = health();
        let now = Instant::now();
        assert_eq!(health.gave_up(FIRST, now), Remedy::NewConnection);
        assert_eq!(health.gave_up(DEAD, now), Remedy::NewChannels);
        let later = now + CONNECTION_INTERVAL;
        assert_eq!(health.gave_up(DEAD, later), Remedy::NewConnection);
    }

    #[test]
    fn lasting_nacks_are_a_fault_until_an_ack() {
        let (health, monitor) = health();
        let faults = monitor.faults();
        let now = Instant::now();
        assert_eq!(health.nacked(FIRST, false, now), Remedy::Wait);
        assert!(faults.borrow().is_empty() && !health.is_refusing(FIRST));
        assert_eq!(health.lasting_nacks(FIRST, now), Remedy::NewChannels);
        assert_eq!(faults.borrow().to_string(), "nacking publishes: first");
        health.acked(DEAD, now, false);
        assert!(!faults.borrow().is_empty());
        health.acked(FIRST, now, false);
        assert!(faults.borrow().is_empty());
        // The next time begins with the mildest remedy.
        assert_eq!(health.lasting_nacks(FIRST, now), Remedy::NewChannels);
    }
}
