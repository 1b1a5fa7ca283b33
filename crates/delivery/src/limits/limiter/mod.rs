//! Limiter: admits, queues or defers messages, by the limits of their targets and the shares of
//! their apps.
//!
//! - `permit.rs`: permits, tickets and decisions
//! - `table.rs`: targets and apps by key, bounded

mod permit;
mod table;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use super::app_usage::{AppUsage, SlotWait};
use super::circuit::CircuitKey;
use super::health_sample::CallSample;
use super::limit_key::LimitKey;
use super::policy::{DeferReason, TargetLimits, WorkQueue};
use super::shared_pool::SharedPool;
use super::stats::{AppStats, Remainder, TargetStats, TopTargets};
use super::target_state::{Availability, TargetState};
use table::{Entry, Table};

pub use permit::{AdmissionRequest, AppId, LimitDecision, Permit, Place, TargetId, Terms, Ticket};

/// The longest delay that a rate limit causes before a message is tried again.
const MAX_RATE_DELAY: Duration = Duration::from_secs(60);

/// An app is alone if no other was seen for this long.
const ALONE_AFTER: Duration = Duration::from_secs(60);

/// The limiter of one process: the state of each target, callee and app that was seen recently, and
/// the slots of the queues.
///
/// Bounded: beyond `max_entries` of each, idle targets, apps and circuits are evicted, least
/// recently used first. Nothing in use is evicted, so that at most the number of messages in memory
/// is added to the bound.
#[derive(Debug)]
pub struct Limiter {
    targets: Table<TargetState>,
    apps: Table<AppUsage>,
    /// Circuits of all targets together.
    circuits: usize,
    max_circuits: usize,
    /// How many attempts one app alone can make at a time, per queue.
    concurrency: [u32; 2],
    slots: [SharedPool; 2],
    /// Messages that wait in memory for their targets.
    waiting: [SharedPool; 2],
    /// Messages that wait for a slot.
    waiting_for_slot: [u32; 2],
    /// The app that was seen last, and when another one was.
    last_app: Option<AppId>,
    last_other_app: Option<Duration>,
    last_app_seen: Duration,
    /// The figures of evicted targets.
    evicted: Remainder,
}

impl Entry for TargetState {
    type Key = LimitKey;

    fn key(&self) -> &LimitKey {
        &self.key
    }

    fn eviction_rank(&self, now: Duration) -> Option<(bool, Duration)> {
        let idle = self.is_idle();
        idle.then(|| (!self.is_default(now), self.last_used))
    }
}

impl Entry for AppUsage {
    type Key = Arc<str>;

    fn key(&self) -> &Arc<str> {
        &self.id
    }

    fn eviction_rank(&self, _: Duration) -> Option<(bool, Duration)> {
        self.is_idle().then_some((false, self.last_used))
    }
}

/// A message for which a decision is made.
struct Asking {
    app: AppId,
    target: TargetId,
    queue: WorkQueue,
    circuit: CircuitKey,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a permit or a ticket that was returned must not be usable again"
)]
impl Limiter {
    /// A limiter without targets. `concurrency`: how many attempts one app alone can make at a time
    /// in each queue (first, retry); a third of that is added for others. By default a target may
    /// use a tenth of it; messages up to a quarter of it may wait in memory.
    #[must_use]
    pub fn new(concurrency: [u32; 2], max_entries: usize) -> Self {
        let concurrency = concurrency.map(|attempts| attempts.max(1));
        Self {
            targets: Table::new(max_entries),
            apps: Table::new(max_entries),
            circuits: 0,
            max_circuits: max_entries.max(1),
            concurrency,
            slots: concurrency.map(SharedPool::for_one_app),
            waiting: concurrency.map(|attempts| SharedPool::for_one_app((attempts / 4).max(1))),
            waiting_for_slot: [0; 2],
            last_app: None,
            last_other_app: None,
            last_app_seen: Duration::ZERO,
            evicted: Remainder::default(),
        }
    }

    /// The default concurrency limit of a target, per queue.
    fn queue_caps(&self) -> [u32; 2] {
        self.concurrency.map(|attempts| (attempts / 10).max(1))
    }

    /// How many messages may wait for a slot, unless their app is alone.
    fn max_waiting_for_slot(&self, queue: WorkQueue) -> u32 {
        (self.concurrency[queue.index()] / 4).max(1)
    }

    /// Decides on a message.
    pub fn admit(&mut self, request: &AdmissionRequest<'_>, now: Duration) -> LimitDecision {
        let (app, id) = self.find_app(request.app_id, now);
        let target = self.find_target(request.key, now);
        let circuit = match request.key {
            LimitKey::Callee(_) => None,
            LimitKey::Target(_) => Some(id),
        };
        let asking = Asking {
            app,
            target,
            queue: request.queue,
            circuit,
        };
        self.see(app, now);
        self.decide(asking, &request.terms, None, now)
    }

    /// Decides again on a message that waits. The ticket is returned; the decision may hold a new
    /// one.
    pub fn retry_admission(
        &mut self,
        ticket: Ticket,
        terms: &Terms<'_>,
        now: Duration,
    ) -> LimitDecision {
        self.release_ticket(&ticket);
        let asking = Asking {
            app: ticket.app,
            target: ticket.target,
            queue: ticket.queue,
            circuit: ticket.circuit.clone(),
        };
        self.decide(asking, terms, Some(&ticket), now)
    }

    /// Returns the ticket of a message that has waited too long: it must be deferred, for this long
    /// at least.
    pub fn expire(
        &mut self,
        ticket: Ticket,
        app_cap: Option<u32>,
        now: Duration,
    ) -> (DeferReason, Duration) {
        self.release_ticket(&ticket);
        let after = match ticket.place {
            Place::Slot { .. } => self.defer_for_app(ticket.app, ticket.queue, app_cap, now),
            Place::Target { .. } => {
                if let Some(target) = self.targets.get_mut(ticket.target.0) {
                    target.count_deferral();
                }
                Duration::ZERO
            }
        };
        (ticket.reason(), after)
    }

    /// Returns the ticket of a message that stops waiting for another reason (a shutdown). Nothing
    /// is counted.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.release_ticket(&ticket);
    }

    /// Returns the permit of a call that has ended; true if the breaker opened because of it.
    pub fn complete(&mut self, permit: Permit, sample: &CallSample, now: Duration) -> bool {
        let Permit {
            app,
            target,
            queue,
            circuit,
            token,
        } = permit;
        self.slots[queue.index()].give_back();
        if let Some(app) = self.apps.get_mut(app.0) {
            app.give_back(queue, now);
        }
        let target = self.targets.get_mut(target.0);
        target.is_some_and(|target| target.complete(queue, (&circuit, token), sample, now))
    }

    /// Admits calls to this callee or target at once: its owner says that it is back. Every
    /// `Retry-After` ends, and each open breaker admits a probe at the next call. Returns for how many
    /// apps that changes something; a callee counts as one.
    pub fn probe_now(&mut self, key: &LimitKey, now: Duration) -> usize {
        let targets = self.targets.iter_mut().map(|(_, target)| target);
        let targets = targets.filter(|target| target.key == *key);
        targets.map(|target| target.probe_now(now)).sum()
    }

    /// The key of a target, for as long as a permit or a ticket of it is held.
    #[must_use]
    pub fn key(&self, target: TargetId) -> Option<&LimitKey> {
        Some(&self.targets.get(target.0)?.key)
    }

    /// Whether a message of this app could take a slot now.
    #[must_use]
    pub fn has_slot(&self, app: AppId, queue: WorkQueue, app_cap: Option<u32>) -> bool {
        self.apps.get(app.0).is_some_and(|app| {
            let within_cap = app_cap.is_none_or(|cap| app.held_in_all() < cap);
            within_cap && self.slots[queue.index()].admits(app.held(queue))
        })
    }

    /// The figures of the `max` busiest targets, and the sum of all others.
    #[must_use]
    pub fn top(&self, max: usize, now: Duration) -> TopTargets {
        let mut targets: Vec<&TargetState> = self.targets.iter().collect();
        let listed = max.min(targets.len());
        if listed > 0 && listed < targets.len() {
            targets.select_nth_unstable_by_key(listed, |target| Reverse(target.traffic()));
        }
        let others = targets.split_off(listed);
        let mut remainder = self.evicted.clone();
        remainder.targets = others.len();
        for target in others {
            target.add_to(&mut remainder);
        }
        let stats = targets.into_iter().map(|target| target.stats(now));
        let mut targets: Vec<TargetStats> = stats.collect();
        targets.sort_by(|a, b| {
            let by_traffic = b.traffic().cmp(&a.traffic());
            by_traffic.then_with(|| a.key.cmp(&b.key))
        });
        TopTargets { targets, remainder }
    }

    /// The `max` apps with the most in this process, most first.
    #[must_use]
    pub fn busiest_apps(&self, max: usize) -> Vec<AppStats> {
        let stats = self.apps.iter().map(|app| AppStats {
            app_id: Arc::clone(&app.id),
            in_flight: app.held_in_all(),
            waiting: app.waiting_in_all(),
        });
        let mut apps: Vec<AppStats> = stats
            .filter(|app| app.in_flight > 0 || app.waiting > 0)
            .collect();
        apps.sort_by(|a, b| {
            let most_first = (b.in_flight, b.waiting).cmp(&(a.in_flight, a.waiting));
            most_first.then_with(|| a.app_id.cmp(&b.app_id))
        });
        apps.truncate(max);
        apps
    }

    fn decide(
        &mut self,
        asking: Asking,
        terms: &Terms<'_>,
        waited: Option<&Ticket>,
        now: Duration,
    ) -> LimitDecision {
        let queue_caps = self.queue_caps();
        let (limits, queue) = (terms.limits, asking.queue);
        let Some(target) = self.targets.get_mut(asking.target.0) else {
            // Unreachable: only a permit or a ticket of another limiter has such an id.
            return LimitDecision::Defer {
                reason: DeferReason::InFlight,
                after: Duration::ZERO,
            };
        };
        let defer = |target: &mut TargetState, reason, remaining| LimitDecision::Defer {
            reason,
            after: target.defer(reason, remaining, limits, queue_caps, now),
        };
        if terms.paused {
            return defer(target, DeferReason::Paused, Duration::ZERO);
        }
        let has_token = waited.is_some_and(|ticket| ticket.has_token);
        let waited_here = waited.is_some_and(|ticket| matches!(ticket.place, Place::Target { .. }));
        let available = target.check(
            &asking.circuit,
            queue,
            (limits, queue_caps),
            (has_token, waited_here),
            now,
        );
        match available {
            Availability::Unavailable { reason, remaining } => defer(target, reason, remaining),
            Availability::AtLimit { reason, turn } => {
                self.wait_for_target(asking, limits, (reason, turn), has_token, now)
            }
            Availability::Available => {
                let waited_for_slot =
                    waited.is_some_and(|ticket| matches!(ticket.place, Place::Slot { .. }));
                let in_line = self.apps.get(asking.app.0);
                let in_line = in_line.is_some_and(|app| app.waiting_for_slot(queue) > 0);
                let overtakes = in_line && !waited_for_slot;
                if !overtakes && self.has_slot(asking.app, queue, terms.app_cap) {
                    return LimitDecision::Admit(self.take(asking, limits, has_token, now));
                }
                self.wait_for_slot(asking, terms.app_cap, (waited, has_token), now)
            }
        }
    }

    /// The call may be made: its slot and the target's permit are taken together.
    fn take(
        &mut self,
        asking: Asking,
        limits: &TargetLimits,
        has_token: bool,
        now: Duration,
    ) -> Permit {
        let Asking {
            app,
            target,
            queue,
            circuit,
        } = asking;
        self.slots[queue.index()].take();
        if let Some(app) = self.apps.get_mut(app.0) {
            app.take(queue, now);
        }
        let known = |target: &TargetState| target.circuits.contains(&circuit);
        if !self.targets.get(target.0).is_some_and(known) {
            self.make_room_for_circuit(now);
            self.circuits += 1;
        }
        let state = self.targets.get_mut(target.0);
        let token = state.map(|state| state.take(&circuit, queue, limits, has_token, now));
        Permit {
            app,
            target,
            queue,
            circuit,
            token: token.unwrap_or_default(),
        }
    }

    /// The target is at a limit.
    fn wait_for_target(
        &mut self,
        asking: Asking,
        limits: &TargetLimits,
        (reason, turn): (DeferReason, Option<Duration>),
        has_token: bool,
        now: Duration,
    ) -> LimitDecision {
        let (queue, queue_caps) = (asking.queue, self.queue_caps());
        let at = queue.index();
        let (Some(target), Some(app)) = (
            self.targets.get_mut(asking.target.0),
            self.apps.get_mut(asking.app.0),
        ) else {
            return LimitDecision::Defer {
                reason,
                after: Duration::ZERO,
            };
        };
        let cap = limits.in_flight.unwrap_or(queue_caps[at]).max(1);
        let may_queue = self.waiting[at].admits(app.waiting(queue))
            && target.may_queue(asking.app.0, queue, cap);
        let overflow = !may_queue && turn.is_none();
        let may_wait = if overflow {
            target.waiting(queue) < target.admissible_soon(cap, now)
        } else {
            may_queue
                && turn.is_none_or(|turn| {
                    turn <= limits.queue_timeout && target.may_reserve(asking.app.0, limits)
                })
        };
        if !may_wait || limits.queue_timeout.is_zero() {
            let remaining = turn.unwrap_or_default().min(MAX_RATE_DELAY);
            return LimitDecision::Defer {
                reason,
                after: target.defer(reason, remaining, limits, queue_caps, now),
            };
        }
        if turn.is_some() {
            target.reserve_token(limits, now);
        }
        target.begin_waiting(asking.app.0, queue);
        if !overflow {
            app.begin_waiting(queue);
            self.waiting[at].take();
        }
        let place = Place::Target {
            // A token that was taken is kept.
            reason: if has_token { DeferReason::Rate } else { reason },
            turn,
            overflow,
        };
        LimitDecision::Wait(asking.ticket(place, has_token || turn.is_some()))
    }

    /// No slot is free, or the app holds its share of them.
    fn wait_for_slot(
        &mut self,
        asking: Asking,
        app_cap: Option<u32>,
        (waited, has_token): (Option<&Ticket>, bool),
        now: Duration,
    ) -> LimitDecision {
        let queue = asking.queue;
        let others = SlotWait {
            alone: self.is_alone(asking.app, now),
            full: self.waiting_for_slot[queue.index()] >= self.max_waiting_for_slot(queue),
        };
        let max_wait = match waited.map(|ticket| &ticket.place) {
            // It goes on waiting, until its time is over.
            Some(&Place::Slot { max_wait }) => Some(max_wait),
            Some(Place::Target { .. }) | None => {
                let app = self.apps.get(asking.app.0);
                app.and_then(|app| app.slot_wait(queue, &others, now))
            }
        };
        let Some(max_wait) = max_wait else {
            return LimitDecision::Defer {
                reason: DeferReason::AppInFlight,
                after: self.defer_for_app(asking.app, queue, app_cap, now),
            };
        };
        self.waiting_for_slot[queue.index()] += 1;
        if let Some(app) = self.apps.get_mut(asking.app.0) {
            app.begin_waiting_for_slot(queue);
        }
        if let Some(target) = self.targets.get_mut(asking.target.0) {
            target.waiting_for_slot += 1;
        }
        LimitDecision::Wait(asking.ticket(Place::Slot { max_wait }, has_token))
    }

    fn defer_for_app(
        &mut self,
        app: AppId,
        queue: WorkQueue,
        app_cap: Option<u32>,
        now: Duration,
    ) -> Duration {
        let concurrency = self.concurrency[queue.index()];
        let cap = app_cap.map_or(concurrency, |cap| cap.min(concurrency));
        let app = self.apps.get_mut(app.0);
        app.map_or(Duration::ZERO, |app| app.defer(queue, cap, now))
    }

    fn release_ticket(&mut self, ticket: &Ticket) {
        let at = ticket.queue.index();
        let app = self.apps.get_mut(ticket.app.0);
        let target = self.targets.get_mut(ticket.target.0);
        match ticket.place {
            Place::Target { overflow, .. } => {
                if let Some(target) = target {
                    target.end_waiting(ticket.app.0, ticket.queue);
                }
                if !overflow {
                    self.waiting[at].give_back();
                    if let Some(app) = app {
                        app.end_waiting(ticket.queue);
                    }
                }
            }
            Place::Slot { .. } => {
                self.waiting_for_slot[at] = self.waiting_for_slot[at].saturating_sub(1);
                if let Some(app) = app {
                    app.end_waiting_for_slot(ticket.queue);
                }
                if let Some(target) = target {
                    target.waiting_for_slot = target.waiting_for_slot.saturating_sub(1);
                }
            }
        }
    }

    /// Remembers when an app was seen, and when another one was.
    fn see(&mut self, app: AppId, now: Duration) {
        if self.last_app != Some(app) {
            if self.last_app.is_some() {
                self.last_other_app = Some(self.last_app_seen);
            }
            self.last_app = Some(app);
        }
        self.last_app_seen = now;
    }

    /// Whether no other app was seen for a while.
    fn is_alone(&self, app: AppId, now: Duration) -> bool {
        let other = match self.last_app == Some(app) {
            true => self.last_other_app,
            false => Some(self.last_app_seen),
        };
        other.is_none_or(|other| now.saturating_sub(other) > ALONE_AFTER)
    }

    fn find_app(&mut self, id: &str, now: Duration) -> (AppId, Arc<str>) {
        let new = || AppUsage::new(id.into(), now);
        let index = self.apps.find_or_insert(id, new, drop, now);
        let state = self.apps.get_mut(index);
        let id = state.map(|state| {
            state.last_used = state.last_used.max(now);
            Arc::clone(&state.id)
        });
        (AppId(index), id.unwrap_or_default())
    }

    fn find_target(&mut self, key: &LimitKey, now: Duration) -> TargetId {
        let new = || TargetState::new(key.clone(), now);
        let (evicted, circuits) = (&mut self.evicted, &mut self.circuits);
        let evicted = |target: TargetState| {
            target.add_to(evicted);
            *circuits = circuits.saturating_sub(target.circuits.len());
        };
        TargetId(self.targets.find_or_insert(key, new, evicted, now))
    }

    /// Evicts a tenth of the circuits if there are too many, so that the search is rare.
    fn make_room_for_circuit(&mut self, now: Duration) {
        if self.circuits < self.max_circuits {
            return;
        }
        let mut idle: Vec<((bool, Duration), u32, CircuitKey)> = Vec::new();
        for (target, state) in self.targets.iter_mut() {
            let circuits = state.circuits.idle(now);
            idle.extend(circuits.map(|(rank, key)| (rank, target, key.clone())));
        }
        let count = (self.max_circuits / 10).max(1).min(idle.len());
        if count < idle.len() {
            idle.select_nth_unstable_by_key(count, |(rank, ..)| *rank);
        }
        for (_, target, key) in idle.into_iter().take(count) {
            if let Some(target) = self.targets.get_mut(target) {
                target.circuits.remove(&key);
                self.circuits = self.circuits.saturating_sub(1);
            }
        }
    }
}

impl Asking {
    fn ticket(self, place: Place, has_token: bool) -> Ticket {
        let Self {
            app,
            target,
            queue,
            circuit,
        } = self;
        Ticket {
            app,
            target,
            queue,
            circuit,
            place,
            has_token,
        }
    }
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
mod tests;
