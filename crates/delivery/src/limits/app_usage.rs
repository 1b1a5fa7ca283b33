//! The state of one app: the slots it holds, the messages that wait, and its recent rate.

use std::sync::Arc;
use std::time::Duration;

use super::policy::WorkQueue;
use super::release_pacer::ReleasePacer;
use super::throughput::Throughput;

/// A message that will get its slot within this time may wait for it.
const SOON: Duration = Duration::from_millis(50);

/// How long such a message waits at most: the app's calls may have stopped ending.
const SOON_WAIT: Duration = Duration::from_millis(200);

/// How long a message waits for the turn of an app that holds nothing.
const TURN_WAIT: Duration = Duration::from_secs(2);

/// While no other app is there, messages wait like this, as long as calls began or ended within it.
const ALONE_WAIT: Duration = Duration::from_secs(2);

/// Deferred messages are spread over at most this time.
const MAX_SPREAD: Duration = Duration::from_secs(300);

/// Before this time of work the app's rate is unknown.
const MEASURED_AFTER: Duration = Duration::from_secs(10);

/// Deferred messages return a little faster than calls end, so that no slot is idle.
const RELEASES_PER_END: f64 = 1.5;

#[derive(Debug, Clone)]
pub(super) struct AppUsage {
    pub(super) id: Arc<str>,
    queues: [AppQueue; 2],
    pub(super) last_used: Duration,
}

/// One app in one queue.
#[derive(Debug, Clone)]
struct AppQueue {
    held: u32,
    /// Messages that wait for their targets, without those that wait only briefly.
    waiting: u32,
    waiting_for_slot: u32,
    soon: Throughput,
    recent: Throughput,
    pacer: ReleasePacer,
    /// When it last began to hold slots.
    busy_since: Duration,
    /// When a call last ended, or the first one began.
    last_progress: Duration,
}

/// What else decides how long a message may wait for a slot.
pub(super) struct SlotWait {
    /// No other app was seen for a while.
    pub(super) alone: bool,
    /// As many messages as may wait for a slot do.
    pub(super) full: bool,
}

impl AppUsage {
    pub(super) fn new(id: Arc<str>, now: Duration) -> Self {
        let queue = AppQueue {
            held: 0,
            waiting: 0,
            waiting_for_slot: 0,
            soon: Throughput::over(Duration::from_secs(1)),
            recent: Throughput::over(MEASURED_AFTER),
            pacer: ReleasePacer::default(),
            busy_since: now,
            last_progress: Duration::ZERO,
        };
        Self {
            id,
            queues: [queue.clone(), queue],
            last_used: now,
        }
    }

    /// The slots that it holds in one queue.
    pub(super) fn held(&self, queue: WorkQueue) -> u32 {
        self.queues[queue.index()].held
    }

    /// The slots that it holds in both queues.
    pub(super) fn held_in_all(&self) -> u32 {
        let [first, retry] = &self.queues;
        first.held.saturating_add(retry.held)
    }

    /// The messages that wait in memory, in both queues.
    pub(super) fn waiting_in_all(&self) -> u32 {
        let waits = |queue: &AppQueue| queue.waiting.saturating_add(queue.waiting_for_slot);
        self.queues.iter().map(waits).fold(0, u32::saturating_add)
    }

    /// A call begins.
    pub(super) fn take(&mut self, queue: WorkQueue, now: Duration) {
        let queue = &mut self.queues[queue.index()];
        if queue.held == 0 {
            queue.busy_since = now;
            queue.last_progress = now;
        }
        queue.held = queue.held.saturating_add(1);
    }

    /// A call has ended.
    pub(super) fn give_back(&mut self, queue: WorkQueue, now: Duration) {
        let queue = &mut self.queues[queue.index()];
        queue.held = queue.held.saturating_sub(1);
        queue.last_progress = now;
        queue.soon.record(now);
        queue.recent.record(now);
    }

    pub(super) fn waiting(&self, queue: WorkQueue) -> u32 {
        self.queues[queue.index()].waiting
    }

    pub(super) fn begin_waiting(&mut self, queue: WorkQueue) {
        let waiting = &mut self.queues[queue.index()].waiting;
        *waiting = waiting.saturating_add(1);
    }

    pub(super) fn end_waiting(&mut self, queue: WorkQueue) {
        let waiting = &mut self.queues[queue.index()].waiting;
        *waiting = waiting.saturating_sub(1);
    }

    pub(super) fn waiting_for_slot(&self, queue: WorkQueue) -> u32 {
        self.queues[queue.index()].waiting_for_slot
    }

    pub(super) fn begin_waiting_for_slot(&mut self, queue: WorkQueue) {
        let waiting = &mut self.queues[queue.index()].waiting_for_slot;
        *waiting = waiting.saturating_add(1);
    }

    pub(super) fn end_waiting_for_slot(&mut self, queue: WorkQueue) {
        let waiting = &mut self.queues[queue.index()].waiting_for_slot;
        *waiting = waiting.saturating_sub(1);
    }

    /// How long a message may wait for a slot. `None`: it must not wait.
    ///
    /// An app that holds nothing always has one message in the line. All others wait only if they
    /// get their slot soon, by the rate at which the app's calls end; while the app is alone, that
    /// is as good as certain as long as any end.
    pub(super) fn slot_wait(
        &self,
        queue: WorkQueue,
        others: &SlotWait,
        now: Duration,
    ) -> Option<Duration> {
        let queue = &self.queues[queue.index()];
        let stalled_for = now.saturating_sub(queue.last_progress);
        if others.alone && queue.held > 0 && stalled_for <= ALONE_WAIT {
            return Some(ALONE_WAIT);
        }
        if queue.held == 0 && queue.waiting_for_slot == 0 {
            return Some(TURN_WAIT);
        }
        if others.full {
            return None;
        }
        let soon = queue.soon.per_second(now) * SOON.as_secs_f64();
        let in_line = f64::from(queue.waiting_for_slot.saturating_add(1));
        let is_soon = stalled_for <= SOON && in_line <= soon;
        is_soon.then_some(SOON_WAIT)
    }

    /// The delay of a message that is deferred, after which its slot is likely to be free.
    /// `cap`: the slots that the app may hold.
    pub(super) fn defer(&mut self, queue: WorkQueue, cap: u32, now: Duration) -> Duration {
        let queue = &mut self.queues[queue.index()];
        let cap = f64::from(cap.max(1));
        let measured = now.saturating_sub(queue.busy_since) >= MEASURED_AFTER;
        // Unknown: as if a call took a second. Known: never slower than eight seconds a call, so
        // that what waits notices when the calls become faster.
        let least = if measured { cap / 8.0 } else { cap };
        let per_second = queue.recent.per_second(now) * RELEASES_PER_END;
        queue
            .pacer
            .next_slot(per_second.max(least), MAX_SPREAD, now)
    }

    /// Whether it holds nothing and nothing of it waits.
    pub(super) fn is_idle(&self) -> bool {
        self.queues
            .iter()
            .all(|queue| queue.held == 0 && queue.waiting == 0 && queue.waiting_for_slot == 0)
    }
}
