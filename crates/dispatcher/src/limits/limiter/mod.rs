//! Grants permits to make calls, within the limits of targets and the shares of apps.
//!
//! The rules are in `delivery::limits`; this file adds the clock, the lock and the waiting. The lock
//! is held briefly and never across an await.
//!
//! - `waiters.rs`: messages that wait for a permit

mod waiters;

use super::pauses::PauseRegistry;
use super::target_metrics::{MAX_NAMED_TARGETS, TargetMetricsAggregator};
use crate::metrics::TargetSample;
use crate::queue::WorkQueue;
use delivery::limits::{
    AdmissionRequest, AppStats, CallSample, DeferReason, LimitDecision, LimitKey, Limiter, Permit,
    Place, TargetId, TargetLimits, Terms, Ticket, TopTargets,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use waiters::{Waiter, Waiters};

/// The maximum number of keys, of apps, and of breakers; a kilobyte or less each. Idle ones are
/// evicted first.
const MAX_ENTRIES: usize = 10_000;

/// The limiter of all targets, callees and apps.
pub(crate) struct TargetLimiter {
    started: Instant,
    pauses: PauseRegistry,
    state: Mutex<LimiterState>,
}

struct LimiterState {
    rules: Limiter,
    waiters: Waiters<Acquired>,
    metrics: TargetMetricsAggregator,
}

/// A message that asks for a permit.
#[derive(Clone, Copy)]
pub(crate) struct PermitRequest<'a> {
    pub(crate) app_id: &'a str,
    /// The maximum number of calls of the app.
    pub(crate) app_cap: Option<u32>,
    pub(crate) key: &'a LimitKey,
    /// Whose slots it takes.
    pub(crate) queue: WorkQueue,
    pub(crate) limits: &'a TargetLimits,
    pub(crate) paused: bool,
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

/// A place among the waiters. Dropping it leaves them.
pub(crate) struct PendingPermit {
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
                rules: Limiter::new(concurrency.map(u32::from), MAX_ENTRIES),
                waiters: Waiters::default(),
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
    pub(crate) fn try_acquire(self: &Arc<Self>, request: PermitRequest<'_>) -> TryAcquire {
        let PermitRequest {
            app_id,
            app_cap,
            key,
            queue,
            limits,
            paused,
        } = request;
        let terms = Terms {
            limits,
            app_cap,
            paused: paused || self.pauses.is_paused(key),
        };
        let asked = AdmissionRequest {
            app_id,
            key,
            queue,
            terms,
        };
        let (mut state, now) = (self.state(), self.now());
        match state.rules.admit(&asked, now) {
            LimitDecision::Admit(permit) => TryAcquire::Done(Acquired::Permit(self.guard(permit))),
            LimitDecision::Defer { reason, after } => {
                state.count_deferral(key, reason);
                TryAcquire::Done(Acquired::Deferred { reason, after })
            }
            LimitDecision::Wait(ticket) => {
                TryAcquire::Pending(self.enqueue(&mut state, ticket, &terms, now))
            }
        }
    }

    fn enqueue(
        self: &Arc<Self>,
        state: &mut LimiterState,
        ticket: Ticket,
        terms: &Terms<'_>,
        now: Duration,
    ) -> PendingPermit {
        let (sender, result) = oneshot::channel();
        let not_before = turn_of(&ticket).map(|turn| now.saturating_add(turn));
        let deadline = now.saturating_add(ticket.max_wait(terms.limits));
        let waiter = state.waiters.add(Waiter {
            ticket,
            limits: *terms.limits,
            app_cap: terms.app_cap,
            result: sender,
        });
        PendingPermit {
            waiter,
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

    /// Takes back a permit, and wakes those that wait for its slot or its target.
    fn release(self: &Arc<Self>, permit: Permit, sample: &CallSample) {
        let (mut state, now) = (self.state(), self.now());
        let target = permit.target();
        let app = permit.circuit_of().map(Arc::clone);
        let opened = state.release(permit, sample, now);
        // First those that have the target and wait for a slot: then the target is theirs, too.
        self.wake_for_slots(&mut state, now);
        self.wake_for_target(target, &mut state, now);
        let opened = opened.then(|| state.rules.key(target).map(ToString::to_string));
        drop(state);
        if let Some(Some(target)) = opened {
            match app {
                Some(app_id) => tracing::warn!(
                    callback_target = target,
                    app_id = &*app_id,
                    "circuit breaker opened: the app's callbacks to this target are deferred"
                ),
                None => tracing::warn!(
                    callback_target = target,
                    "circuit breaker opened: callbacks to this callee are deferred"
                ),
            }
        }
    }

    /// Gives free slots to the messages that wait for them; apps take turns.
    fn wake_for_slots(self: &Arc<Self>, state: &mut LimiterState, now: Duration) {
        while let Some(id) = state.next_for_slot() {
            // What is not admitted either waits for its target from now on or is deferred.
            if let Some(Place::Slot { .. }) = self.ask_for(id, state, now) {
                return;
            }
        }
    }

    /// Gives the target's free permits to the messages that wait for them; apps take turns.
    fn wake_for_target(
        self: &Arc<Self>,
        target: TargetId,
        state: &mut LimiterState,
        now: Duration,
    ) {
        // Once a waiter must wait on, those of the same work queue wait too.
        let mut blocked = [false; 2];
        while let Some((subqueue, id)) = state.waiters.pop_for_target(target, blocked) {
            match self.ask_for(id, state, now) {
                Some(Place::Target { turn: None, .. }) => {
                    state.waiters.keep_turn(target, subqueue);
                    blocked[waiters::index(subqueue.queue)] = true;
                }
                Some(Place::Target { .. } | Place::Slot { .. }) | None => {}
            }
        }
    }

    /// Asks again for a waiter that was popped, or is in no queue. Returns what it waits for now;
    /// `None`: it was answered.
    fn ask_for(
        self: &Arc<Self>,
        id: u64,
        state: &mut LimiterState,
        now: Duration,
    ) -> Option<Place> {
        let Waiter {
            ticket,
            limits,
            app_cap,
            result,
        } = state.waiters.take(id)?;
        let target = ticket.target();
        let key = state.rules.key(target);
        let terms = Terms {
            limits: &limits,
            app_cap,
            paused: key.is_some_and(|key| self.pauses.is_paused(key)),
        };
        let acquired = match state.rules.retry_admission(ticket, &terms, now) {
            LimitDecision::Wait(ticket) => {
                let place = ticket.place();
                let waiter = Waiter {
                    ticket,
                    limits,
                    app_cap,
                    result,
                };
                state.waiters.put(id, waiter);
                return Some(place);
            }
            LimitDecision::Admit(permit) => Acquired::Permit(self.guard(permit)),
            LimitDecision::Defer { reason, after } => {
                state.count_deferral_of(target, reason);
                Acquired::Deferred { reason, after }
            }
        };
        // The waiter is gone: take back its permit.
        if let Err(Acquired::Permit(mut unused)) = result.send(acquired)
            && let Some(permit) = unused.permit.take()
        {
            state.release(permit, &CallSample::unknown(), now);
        }
        None
    }

    /// The busiest keys, and the others together.
    pub(crate) fn top(&self, count: usize) -> TopTargets {
        self.state().rules.top(count, self.now())
    }

    /// The apps with the most calls in flight.
    pub(crate) fn busiest_apps(&self, count: usize) -> Vec<AppStats> {
        self.state().rules.busiest_apps(count)
    }

    /// Ends the `Retry-After` of this key, and lets its open breakers admit a probe at the next call.
    pub(crate) fn probe_now(&self, key: &LimitKey) -> usize {
        let now = self.now();
        self.state().rules.probe_now(key, now)
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

    /// The waiter that a free slot is for.
    fn next_for_slot(&mut self) -> Option<u64> {
        let Self { rules, waiters, .. } = self;
        waiters
            .pop_for_slot(|subqueue, app_cap| rules.has_slot(subqueue.app, subqueue.queue, app_cap))
    }

    /// A target's series count what its own limits deferred.
    fn count_deferral(&mut self, key: &LimitKey, reason: DeferReason) {
        if reason != DeferReason::AppInFlight {
            self.metrics.deferred(key);
        }
    }

    fn count_deferral_of(&mut self, target: TargetId, reason: DeferReason) {
        if let (Some(key), true) = (self.rules.key(target), reason != DeferReason::AppInFlight) {
            self.metrics.deferred(key);
        }
    }
}

/// When a message that waits for the rate has its turn.
fn turn_of(ticket: &Ticket) -> Option<Duration> {
    match ticket.place() {
        Place::Target { turn, .. } => turn,
        Place::Slot { .. } => None,
    }
}

/// Unreachable: a waiter either waits or has been answered. Defer, to be safe.
const NOT_ANSWERED: Acquired = Acquired::Deferred {
    reason: DeferReason::InFlight,
    after: Duration::ZERO,
};

impl PendingPermit {
    /// Waits for a permit, or until the message must be deferred.
    pub(crate) async fn acquired(mut self) -> Acquired {
        loop {
            // A call that ends wakes this waiter; the rate limit does not.
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

    /// Its turn or its deadline has come.
    fn ask_again(&mut self) -> Option<Acquired> {
        let (mut state, now) = (self.limiter.state(), self.limiter.now());
        if let Ok(acquired) = self.result.try_recv() {
            return Some(acquired);
        }
        if state.waiters.waits_for_its_turn(self.waiter) {
            match self.limiter.ask_for(self.waiter, &mut state, now) {
                None => return Some(self.result.try_recv().unwrap_or(NOT_ANSWERED)),
                Some(Place::Target { turn, .. }) => {
                    self.not_before = turn.map(|turn| now.saturating_add(turn));
                }
                Some(Place::Slot { .. }) => {}
            }
        }
        if now < self.deadline {
            return None;
        }
        let Some(waiter) = state.waiters.remove(self.waiter) else {
            return Some(NOT_ANSWERED);
        };
        let (target, app_cap) = (waiter.ticket.target(), waiter.app_cap);
        let key = state.rules.key(target).cloned();
        let (reason, after) = state.rules.expire(waiter.ticket, app_cap, now);
        if let Some(key) = key {
            state.count_deferral(&key, reason);
        }
        Some(Acquired::Deferred { reason, after })
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        if let Some(waiter) = state.waiters.remove(self.waiter) {
            state.rules.cancel(waiter.ticket);
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
