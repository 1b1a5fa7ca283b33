//! Grants permits to call a target, within its limits.
//!
//! The rules are in `delivery::limits`; this file adds the clock, the lock and the waiting. The lock
//! is held briefly and never across an await.

use super::pauses::PauseRegistry;
use super::target_metrics::{MAX_NAMED_TARGETS, TargetMetricsAggregator};
use super::wait_queue::{self, WaitQueue, Waiter};
use crate::metrics::TargetSample;
use crate::queue::WorkQueue;
use delivery::limits::{
    CallSample, DeferReason, LimitDecision, LimitKey, Limiter, Permit, TargetId, TargetLimits,
    Ticket, TopTargets,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The maximum number of keys, about a kilobyte each. Idle ones are evicted first.
const MAX_KEYS: usize = 10_000;

/// The limiter of all targets and callees.
pub(crate) struct TargetLimiter {
    started: Instant,
    pauses: PauseRegistry,
    state: Mutex<LimiterState>,
}

struct LimiterState {
    rules: Limiter,
    waiting: HashMap<TargetId, WaitQueue<Acquired>>,
    next_waiter: u64,
    metrics: TargetMetricsAggregator,
}

/// The immediate answer to a request for a permit.
pub(crate) enum TryAcquire {
    Done(Acquired),
    /// The message waits in memory.
    Pending(PendingPermit),
}

/// The final answer to a request for a permit.
pub(crate) enum Acquired {
    /// The call may be made.
    Permit(PermitGuard),
    /// The call cannot be made now or soon.
    Deferred {
        reason: DeferReason,
        /// The shortest wait, as far as it is known.
        after: Duration,
    },
}

/// A permit to make one call. Dropping it (a panic, an attempt that is cut off) releases it without
/// a result for its target.
pub(crate) struct PermitGuard {
    permit: Option<Permit>,
    limiter: Arc<TargetLimiter>,
}

/// A place in a wait queue. Dropping it leaves the queue.
pub(crate) struct PendingPermit {
    target: TargetId,
    waiter: u64,
    /// When to ask again without being woken, since [`TargetLimiter::started`].
    not_before: Option<Duration>,
    /// When the wait ends, since [`TargetLimiter::started`].
    deadline: Duration,
    result: oneshot::Receiver<Acquired>,
    limiter: Arc<TargetLimiter>,
}

impl TargetLimiter {
    /// A limiter for queues of this concurrency: first attempts and retries.
    pub(crate) fn new(concurrency: [u16; 2], pauses: PauseRegistry) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            pauses,
            state: Mutex::new(LimiterState {
                rules: Limiter::new(concurrency.map(u32::from), MAX_KEYS),
                waiting: HashMap::new(),
                next_waiter: 0,
                metrics: TargetMetricsAggregator::default(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        // Nothing panics under the lock; if it did, a target's count would be off by one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Asks for a permit.
    pub(crate) fn try_acquire(
        self: &Arc<Self>,
        key: &LimitKey,
        queue: WorkQueue,
        limits: &TargetLimits,
        paused: bool,
    ) -> TryAcquire {
        let paused = paused || self.pauses.is_paused(key);
        let (mut state, now) = (self.state(), self.now());
        match state.rules.admit(key, queue, limits, paused, now) {
            LimitDecision::Admit(permit) => TryAcquire::Done(Acquired::Permit(self.guard(permit))),
            LimitDecision::Defer { reason, after } => {
                state.metrics.deferred(key);
                TryAcquire::Done(Acquired::Deferred { reason, after })
            }
            LimitDecision::Wait(ticket) => {
                TryAcquire::Pending(self.enqueue(&mut state, ticket, limits, now))
            }
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        state: &mut LimiterState,
        ticket: Ticket,
        limits: &TargetLimits,
        now: Duration,
    ) -> PendingPermit {
        let (sender, result) = oneshot::channel();
        let (target, id) = (ticket.target(), state.next_waiter);
        state.next_waiter += 1;
        let not_before = ticket.turn().map(|turn| now.saturating_add(turn));
        let deadline = now.saturating_add(ticket.max_wait(limits));
        state.waiting.entry(target).or_default().push_back(Waiter {
            id,
            ticket,
            limits: *limits,
            not_before: not_before.unwrap_or_default(),
            result: sender,
        });
        PendingPermit {
            target,
            waiter: id,
            not_before,
            deadline,
            result,
            limiter: Arc::clone(self),
        }
    }

    fn guard(self: &Arc<Self>, permit: Permit) -> PermitGuard {
        PermitGuard {
            permit: Some(permit),
            limiter: Arc::clone(self),
        }
    }

    /// Takes back a permit, and wakes waiters of its target.
    fn release(self: &Arc<Self>, permit: Permit, sample: &CallSample) {
        let (mut state, now) = (self.state(), self.now());
        let target = permit.target();
        let opened = state.release(permit, sample, now);
        self.wake(target, &mut state, now);
        let opened = opened.then(|| state.rules.key(target).map(ToString::to_string));
        drop(state);
        if let Some(Some(target)) = opened {
            tracing::warn!(
                callback_target = target,
                "circuit breaker opened: callbacks to this target are deferred"
            );
        }
    }

    /// Answers the waiters of a target that can have a permit, or must be deferred, now.
    fn wake(self: &Arc<Self>, target: TargetId, state: &mut LimiterState, now: Duration) {
        let Some(mut waiting) = state.waiting.remove(&target) else {
            return;
        };
        let key = state.rules.key(target);
        let paused = key.is_some_and(|key| self.pauses.is_paused(key));
        // Once a waiter must wait for a free slot, the waiters behind it in its queue wait too.
        let mut blocked = [false; 2];
        let mut not_yet = Vec::new();
        while let Some(waiter) = waiting.pop_first(blocked) {
            if waiter.not_before > now {
                not_yet.push(waiter);
                continue;
            }
            let Waiter {
                id,
                ticket,
                limits,
                result,
                ..
            } = waiter;
            let acquired = match state.rules.retry_admission(ticket, &limits, paused, now) {
                LimitDecision::Wait(ticket) => {
                    let turn = ticket.turn();
                    let at = wait_queue::index(ticket.queue());
                    let waiter = Waiter {
                        id,
                        ticket,
                        limits,
                        not_before: now.saturating_add(turn.unwrap_or_default()),
                        result,
                    };
                    blocked[at] = turn.is_none();
                    if turn.is_none() {
                        waiting.push_front(waiter);
                    } else {
                        not_yet.push(waiter);
                    }
                    continue;
                }
                LimitDecision::Admit(permit) => Acquired::Permit(self.guard(permit)),
                LimitDecision::Defer { reason, after } => {
                    state.count_deferral(target);
                    Acquired::Deferred { reason, after }
                }
            };
            // The waiter is gone: take back its permit.
            if let Err(Acquired::Permit(mut unused)) = result.send(acquired)
                && let Some(permit) = unused.permit.take()
            {
                state.release(permit, &CallSample::unknown(), now);
                blocked = [false; 2];
            }
        }
        for waiter in not_yet.into_iter().rev() {
            waiting.push_front(waiter);
        }
        if !waiting.is_empty() {
            state.waiting.insert(target, waiting);
        }
    }

    /// The busiest keys, and the others together.
    pub(crate) fn top(&self, count: usize) -> TopTargets {
        self.state().rules.top(count, self.now())
    }

    pub(crate) fn pauses(&self) -> &PauseRegistry {
        &self.pauses
    }

    /// What the metrics show of targets now.
    pub(crate) fn samples(&self) -> Vec<TargetSample> {
        let (mut state, now) = (self.state(), self.now());
        let busiest = state.rules.top(MAX_NAMED_TARGETS, now);
        let is_paused = |key: &LimitKey| self.pauses.is_paused(key);
        state.metrics.samples(&busiest, is_paused)
    }
}

impl LimiterState {
    /// Whether the breaker opened.
    fn release(&mut self, permit: Permit, sample: &CallSample, now: Duration) -> bool {
        if let Some(key) = self.rules.key(permit.target()) {
            self.metrics.call_ended(key, sample.health);
        }
        self.rules.complete(permit, sample, now)
    }

    fn count_deferral(&mut self, target: TargetId) {
        if let Some(key) = self.rules.key(target) {
            self.metrics.deferred(key);
        }
    }

    /// Removes a waiter from its queue, if it still waits.
    fn remove_waiter(&mut self, target: TargetId, id: u64) -> Option<Ticket> {
        let waiting = self.waiting.get_mut(&target)?;
        let waiter = waiting.remove(id)?;
        if waiting.is_empty() {
            self.waiting.remove(&target);
        }
        Some(waiter.ticket)
    }
}

/// Unreachable: a waiter is either queued or has been answered. Defer, to be safe.
const NOT_ANSWERED: Acquired = Acquired::Deferred {
    reason: DeferReason::InFlight,
    after: Duration::ZERO,
};

impl PendingPermit {
    /// Waits for a permit, or until the message must be deferred.
    pub(crate) async fn acquired(mut self) -> Acquired {
        loop {
            // A slot that becomes free wakes this waiter; the rate limit does not.
            let next = self.not_before.take().unwrap_or(self.deadline);
            let next = next.min(self.deadline);
            let timer = tokio::time::sleep(next.saturating_sub(self.limiter.now()));
            tokio::select! {
                biased;
                acquired = &mut self.result => return acquired.unwrap_or(NOT_ANSWERED),
                () = timer => {}
            }
            if let Some(acquired) = self.ask_again() {
                return acquired;
            }
        }
    }

    fn ask_again(&mut self) -> Option<Acquired> {
        let (mut state, now) = (self.limiter.state(), self.limiter.now());
        self.limiter.wake(self.target, &mut state, now);
        if let Ok(acquired) = self.result.try_recv() {
            return Some(acquired);
        }
        if now < self.deadline {
            return None;
        }
        let Some(ticket) = state.remove_waiter(self.target, self.waiter) else {
            return Some(NOT_ANSWERED);
        };
        state.count_deferral(self.target);
        Some(Acquired::Deferred {
            reason: state.rules.expire(ticket),
            after: Duration::ZERO,
        })
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        if let Some(ticket) = state.remove_waiter(self.target, self.waiter) {
            state.rules.cancel(ticket);
        }
        // A permit that was granted but not received is released with the channel.
    }
}

impl PermitGuard {
    /// Releases the permit of a call that has ended.
    pub(crate) fn release(mut self, sample: &CallSample) {
        if let Some(permit) = self.permit.take() {
            self.limiter.release(permit, sample);
        }
    }
}

impl Drop for PermitGuard {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.limiter.release(permit, &CallSample::unknown());
        }
    }
}

#[cfg(test)]
mod tests;
