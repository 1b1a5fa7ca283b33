//! Limiter: admits, queues or defers messages, by the limits of their targets.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use super::circuit_breaker::BreakerToken;
use super::health_sample::CallSample;
use super::limit_key::LimitKey;
use super::policy::{DeferReason, TargetLimits, WorkQueue};
use super::stats::{Remainder, TargetStats, TopTargets};
use super::target_state::{Availability, TargetState};

/// The longest wait of a message that queues past the limit.
const MAX_OVERFLOW_WAIT: Duration = Duration::from_millis(200);

/// The longest delay that a rate limit causes before a message is tried again.
const MAX_RATE_DELAY: Duration = Duration::from_secs(60);

/// The limiter of one process: the state of each target and callee that was called recently.
///
/// Bounded: beyond `max_targets`, idle targets are evicted, least recently used first. A target
/// with calls in flight is never evicted, so that at most the number of concurrent attempts is
/// added to the bound.
#[derive(Debug)]
pub struct Limiter {
    /// By slot; `None` is free.
    targets: Vec<Option<TargetState>>,
    free: Vec<u32>,
    slots: HashMap<LimitKey, u32>,
    /// The default concurrency limit of a target, per queue.
    queue_caps: [u32; 2],
    /// How many messages may wait in memory, per queue, and how many do.
    max_waiting: [u32; 2],
    waiting: [u32; 2],
    max_targets: usize,
    /// The figures of evicted targets.
    evicted: Remainder,
}

/// Identifies a target for as long as a permit or a ticket of it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetId(u32);

/// The right to make one call. Return it by [`Limiter::complete`], however the call ended.
#[derive(Debug)]
#[must_use = "a permit that is not returned is lost for ever"]
pub struct Permit {
    target: TargetId,
    queue: WorkQueue,
    token: BreakerToken,
}

/// The right to wait in memory. Return it by [`Limiter::retry_admission`], [`Limiter::expire`] or
/// [`Limiter::cancel`].
#[derive(Debug)]
#[must_use = "a ticket that is not returned is lost for ever"]
pub struct Ticket {
    target: TargetId,
    queue: WorkQueue,
    reason: DeferReason,
    turn: Option<Duration>,
    /// Queued past the limit of waiting messages, because the target is fast.
    overflow: bool,
}

/// What happens to a message that is ready for its attempt.
#[derive(Debug)]
pub enum LimitDecision {
    /// The call may be made.
    Admit(Permit),
    /// The message waits in memory: see [`Ticket::turn`].
    Wait(Ticket),
    /// The message is deferred; its attempt is not counted.
    Defer {
        /// Why.
        reason: DeferReason,
        /// How long at least, as far as that is known.
        after: Duration,
    },
}

impl Permit {
    /// The target.
    #[must_use]
    pub fn target(&self) -> TargetId {
        self.target
    }
}

impl Ticket {
    /// The target.
    #[must_use]
    pub fn target(&self) -> TargetId {
        self.target
    }

    /// The queue that the message came from.
    #[must_use]
    pub fn queue(&self) -> WorkQueue {
        self.queue
    }

    /// How long to wait at most. Past the limit of waiting messages the time is short: the target
    /// may have stopped answering, and then too many wait.
    #[must_use]
    pub fn max_wait(&self, limits: &TargetLimits) -> Duration {
        if self.overflow {
            limits.queue_timeout.min(MAX_OVERFLOW_WAIT)
        } else {
            limits.queue_timeout
        }
    }

    /// Its turn by the rate limit: retry after this time. `None`: retry when a call has ended.
    #[must_use]
    pub fn turn(&self) -> Option<Duration> {
        self.turn
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "a permit or a ticket that was returned must not be usable again"
)]
impl Limiter {
    /// A limiter without targets. `concurrency`: how many attempts each queue (first, retry) makes
    /// at a time. By default a target may use a tenth of it; messages up to a quarter of it may
    /// wait in memory.
    #[must_use]
    pub fn new(concurrency: [u32; 2], max_targets: usize) -> Self {
        Self {
            targets: Vec::new(),
            free: Vec::new(),
            slots: HashMap::new(),
            queue_caps: concurrency.map(|attempts| (attempts / 10).max(1)),
            max_waiting: concurrency.map(|attempts| (attempts / 4).max(1)),
            waiting: [0; 2],
            max_targets: max_targets.max(1),
            evicted: Remainder::default(),
        }
    }

    /// Decides on a message. `paused`: an operator paused the target.
    pub fn admit(
        &mut self,
        key: &LimitKey,
        queue: WorkQueue,
        limits: &TargetLimits,
        paused: bool,
        now: Duration,
    ) -> LimitDecision {
        let target = self.find_or_insert(key, now);
        self.decide(target, queue, limits, paused, None, now)
    }

    /// Decides again on a message that waits. The ticket is returned; the decision may hold a new
    /// one.
    pub fn retry_admission(
        &mut self,
        ticket: Ticket,
        limits: &TargetLimits,
        paused: bool,
        now: Duration,
    ) -> LimitDecision {
        self.release_ticket(&ticket);
        let (target, queue) = (ticket.target, ticket.queue);
        self.decide(target, queue, limits, paused, Some(&ticket), now)
    }

    /// Returns the ticket of a message that has waited too long: it must be deferred.
    pub fn expire(&mut self, ticket: Ticket) -> DeferReason {
        self.release_ticket(&ticket);
        if let Some(target) = self.state(ticket.target) {
            target.count_deferral();
        }
        ticket.reason
    }

    /// Returns the ticket of a message that stops waiting for another reason (a shutdown). Nothing
    /// is counted.
    pub fn cancel(&mut self, ticket: Ticket) {
        self.release_ticket(&ticket);
    }

    /// Returns the permit of a call that has ended; true if the breaker opened because of it.
    pub fn complete(&mut self, permit: Permit, sample: &CallSample, now: Duration) -> bool {
        let Permit {
            target,
            queue,
            token,
        } = permit;
        self.state(target)
            .is_some_and(|target| target.complete(queue, token, sample, now))
    }

    /// The key of a target, for as long as a permit or a ticket of it is held.
    #[must_use]
    pub fn key(&self, target: TargetId) -> Option<&LimitKey> {
        let slot = usize::try_from(target.0).ok()?;
        Some(&self.targets.get(slot)?.as_ref()?.key)
    }

    /// The figures of the `max` busiest targets, and the sum of all others.
    #[must_use]
    pub fn top(&self, max: usize, now: Duration) -> TopTargets {
        let mut targets: Vec<&TargetState> = self.targets.iter().flatten().collect();
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

    fn decide(
        &mut self,
        id: TargetId,
        queue: WorkQueue,
        limits: &TargetLimits,
        paused: bool,
        waited: Option<&Ticket>,
        now: Duration,
    ) -> LimitDecision {
        let (queue_caps, index) = (self.queue_caps, queue.index());
        let may_queue = self.waiting[index] < self.max_waiting[index];
        let Some(target) = self.state(id) else {
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
        if paused {
            return defer(target, DeferReason::Paused, Duration::ZERO);
        }
        let has_token = waited.is_some_and(|ticket| ticket.reason == DeferReason::Rate);
        match target.request(queue, limits, queue_caps, has_token, waited.is_some(), now) {
            Availability::Available(token) => LimitDecision::Admit(Permit {
                target: id,
                queue,
                token,
            }),
            Availability::Unavailable { reason, remaining } => defer(target, reason, remaining),
            Availability::AtLimit { reason, turn } => {
                let cap = limits.in_flight.unwrap_or(queue_caps[index]).max(1);
                let may_queue = may_queue && target.waiting(queue) < cap;
                let overflow = !may_queue && turn.is_none();
                let may_wait = if overflow {
                    target.waiting(queue) < target.admissible_soon(cap, now)
                } else {
                    may_queue && turn.is_none_or(|turn| turn <= limits.queue_timeout)
                };
                if !may_wait || limits.queue_timeout.is_zero() {
                    let remaining = turn.unwrap_or_default().min(MAX_RATE_DELAY);
                    return defer(target, reason, remaining);
                }
                if turn.is_some() {
                    target.reserve_token(limits, now);
                }
                target.begin_waiting(queue);
                self.waiting[index] += u32::from(!overflow);
                LimitDecision::Wait(Ticket {
                    target: id,
                    queue,
                    // A token that was taken is kept.
                    reason: if has_token { DeferReason::Rate } else { reason },
                    turn,
                    overflow,
                })
            }
        }
    }

    fn release_ticket(&mut self, ticket: &Ticket) {
        let waiting = &mut self.waiting[ticket.queue.index()];
        *waiting = waiting.saturating_sub(u32::from(!ticket.overflow));
        if let Some(target) = self.state(ticket.target) {
            target.end_waiting(ticket.queue);
        }
    }

    fn state(&mut self, target: TargetId) -> Option<&mut TargetState> {
        let slot = usize::try_from(target.0).ok()?;
        self.targets.get_mut(slot)?.as_mut()
    }

    fn find_or_insert(&mut self, key: &LimitKey, now: Duration) -> TargetId {
        if let Some(slot) = self.slots.get(key) {
            return TargetId(*slot);
        }
        if self.slots.len() >= self.max_targets {
            self.evict(now);
        }
        let state = Some(TargetState::new(key.clone(), now));
        let slot = match self.free.pop() {
            Some(slot) => {
                let free = usize::try_from(slot).ok();
                if let Some(free) = free.and_then(|slot| self.targets.get_mut(slot)) {
                    *free = state;
                }
                slot
            }
            None => {
                self.targets.push(state);
                // Bounded by `max_targets` and the concurrency: far below 2^32.
                u32::try_from(self.targets.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.slots.insert(key.clone(), slot);
        TargetId(slot)
    }

    /// Evicts a tenth of the targets, so that the search is rare: idle ones, first those whose
    /// state is the default, least recently used first.
    fn evict(&mut self, now: Duration) {
        let idle = self.slots.values().filter_map(|&slot| {
            let target = self.targets.get(usize::try_from(slot).ok()?)?.as_ref()?;
            target
                .is_idle()
                .then(|| ((!target.is_default(now), target.last_used), slot))
        });
        let mut idle: Vec<_> = idle.collect();
        let count = (self.max_targets / 10).max(1).min(idle.len());
        if count < idle.len() {
            idle.select_nth_unstable(count);
        }
        for (_, slot) in idle.into_iter().take(count) {
            let index = usize::try_from(slot).ok();
            let target = index.and_then(|index| self.targets.get_mut(index)?.take());
            if let Some(target) = target {
                target.add_to(&mut self.evicted);
                self.slots.remove(&target.key);
                self.free.push(slot);
            }
        }
    }
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
