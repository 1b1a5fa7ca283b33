//! The operations that this process remembers: shown and stopped.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::clock::now_ms;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::act::OperationAct;
use crate::api::bulk_request::Actor;
use crate::api::error::{ApiError, ProblemCode};
use crate::doctor::said::say;

/// How many run at once in a process.
const MAX_RUNNING: u32 = 4;
/// How many are remembered, those that run among them.
const MAX_REMEMBERED: usize = 100;
/// How long a stop of the process waits for the steps that are being done.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The operations of this process.
#[derive(Clone)]
pub(crate) struct Operations {
    all: Arc<Mutex<VecDeque<Arc<Operation>>>>,
    permits: Arc<Semaphore>,
    stop: CancellationToken,
}

/// What is to be done.
pub(crate) struct Ordered {
    pub(crate) act: OperationAct,
    /// Which callbacks, in the words of the audit log.
    pub(crate) subject: String,
    /// Steps for so many callbacks a second.
    pub(crate) rate: u32,
    /// At most so many: those that the dry run counted.
    pub(crate) total: u64,
    /// When the dry run counted, Unix ms: what has changed since is left alone.
    pub(crate) counted_at: u64,
    pub(crate) actor: Actor,
    /// Whether its operator may still do it.
    pub(crate) grant: OperationGrant,
}

/// Whether the operator of an operation may still do it: a reload of the settings can remove the token.
pub(crate) struct OperationGrant(Box<dyn Fn() -> bool + Send + Sync>);

impl OperationGrant {
    /// As this function says at any time.
    pub(crate) fn new(holds: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(holds))
    }

    pub(super) fn holds(&self) -> bool {
        (self.0)()
    }
}

/// Why an operation does not begin.
#[derive(Debug)]
pub(crate) enum NotBegun {
    /// The same act with the same filter runs.
    Same(Uuid),
    /// As many run as may.
    Full,
}

impl NotBegun {
    /// The error to answer with.
    pub(crate) fn problem(&self) -> ApiError {
        match self {
            Self::Same(_) => ApiError::rejected(
                ProblemCode::AlreadyRunning,
                say!(
                    "the same act on the same callbacks runs already: wait for it, or stop it",
                    "对相同回调的相同操作正在进行：请等待其完成，或将其停止"
                ),
            ),
            Self::Full => ApiError::rejected(
                ProblemCode::TooManyRunning,
                say!(
                    "{MAX_RUNNING} operations run in this process already: wait for one, or stop it",
                    "此进程中已有 {MAX_RUNNING} 个批量操作在进行：请等待其中一个完成，或将其停止"
                ),
            ),
        }
    }
}

/// One operation.
pub(super) struct Operation {
    pub(super) id: Uuid,
    pub(super) ordered: Ordered,
    started_at: u64,
    progress: Mutex<OperationProgress>,
    pub(super) stop: CancellationToken,
    is_stop_ordered: AtomicBool,
}

/// To how many callbacks it has been done, in one step or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OperationStep {
    pub(super) changed: u64,
    /// Taken, and not confirmed by the broker yet.
    pub(super) pending: u64,
    /// May be in an attempt; cancelled if they have to wait again.
    pub(super) requested: u64,
}

impl OperationStep {
    pub(super) const fn sum(self) -> u64 {
        self.changed + self.pending + self.requested
    }
}

/// How far it is.
#[derive(Clone, Debug, Default)]
struct OperationProgress {
    done: OperationStep,
    state: OperationState,
    ended_at: Option<u64>,
}

/// Whether it runs, or how it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum OperationState {
    #[default]
    Running,
    Done,
    /// An operator stopped it, or its process stops.
    Stopped,
    /// Its operator's token was removed, or no longer grants it.
    Revoked,
    /// A step failed, for this reason.
    Failed(ApiError),
}

/// An operation as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct OperationView {
    pub(crate) id: Uuid,
    pub(crate) act: OperationAct,
    /// Which callbacks, in the words of the audit log.
    pub(crate) subject: String,
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) rate: u32,
    pub(crate) total: u64,
    pub(crate) changed: u64,
    pub(crate) pending: u64,
    pub(crate) requested: u64,
    /// Unix ms.
    pub(crate) started_at: u64,
    pub(crate) ended_at: Option<u64>,
    pub(crate) state: OperationState,
}

impl OperationView {
    /// How many it has been done to, in whatever way.
    pub(crate) fn done(&self) -> u64 {
        self.changed + self.pending + self.requested
    }

    /// How long the rest takes at its pace, in seconds.
    pub(crate) fn left_s(&self) -> u64 {
        let left = self.total.saturating_sub(self.done());
        left.div_ceil(u64::from(self.rate.max(1)))
    }
}

impl Operations {
    /// None yet. `stop` stops all.
    pub(in crate::api) fn new(stop: CancellationToken) -> Self {
        Self {
            all: Arc::default(),
            permits: Arc::new(Semaphore::new(MAX_RUNNING as usize)),
            stop,
        }
    }

    /// All that are remembered, the newest first.
    pub(crate) fn list(&self) -> Vec<OperationView> {
        let all = lock(&self.all);
        all.iter().rev().map(|one| one.view()).collect()
    }

    /// One of them.
    ///
    /// # Errors
    /// This process does not know it.
    pub(crate) fn view(&self, id: Uuid) -> Result<OperationView, ApiError> {
        self.find(id).map(|one| one.view())
    }

    /// Stops one after the step that is being done; as it is then, or `None` if it does not run any more.
    ///
    /// # Errors
    /// This process does not know it.
    pub(crate) fn stop(&self, id: Uuid) -> Result<Option<OperationView>, ApiError> {
        let found = self.find(id)?;
        // One of those who stop it at once does so and is told: the audit log has one entry.
        if found.is_stop_ordered.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        // Before the stop: after it the operation may have ended already.
        let is_stopped_now = found.is_running() && !found.stop.is_cancelled();
        found.stop.cancel();
        Ok(is_stopped_now.then(|| found.view()))
    }

    fn find(&self, id: Uuid) -> Result<Arc<Operation>, ApiError> {
        let all = lock(&self.all);
        let found = all.iter().find(|one| one.id == id).cloned();
        found.ok_or_else(|| {
            ApiError::rejected(
                ProblemCode::UnknownRoute,
                say!(
                    "this process knows no such operation: another process runs it, it is older than a \
                     restart, or many have followed it; the audit log has what was done",
                    "此进程中没有该批量操作：它由其他进程执行，或早于上次重启，或已被较新的操作取代；\
                     已完成的部分见审计日志"
                ),
            )
        })
    }

    /// Waits until no step is being done any more, for a bounded time. After `stop`.
    pub(in crate::api) async fn finished(&self) {
        let all = self.permits.acquire_many(MAX_RUNNING);
        // Steps that take longer end with the process; what they took is resumed.
        let _ = tokio::time::timeout(STOP_TIMEOUT, all).await;
    }

    /// A new one, if one more may run: as long as the permit is held, it does.
    ///
    /// # Errors
    /// The same runs, or as many run as may.
    pub(super) fn begin(
        &self,
        ordered: Ordered,
    ) -> Result<(Arc<Operation>, OwnedSemaphorePermit), NotBegun> {
        // Held to the end: a second click must find what the first one began.
        let mut all = lock(&self.all);
        let is_same = |one: &&Arc<Operation>| {
            let other = &one.ordered;
            other.act == ordered.act && other.subject == ordered.subject && one.is_running()
        };
        if let Some(same) = all.iter().find(is_same) {
            return Err(NotBegun::Same(same.id));
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            return Err(NotBegun::Full);
        };
        let id = Uuid::now_v7();
        let operation = Arc::new(Operation {
            id,
            ordered: Ordered {
                actor: ordered.actor.of(id),
                ..ordered
            },
            started_at: now_ms(),
            progress: Mutex::default(),
            stop: self.stop.child_token(),
            is_stop_ordered: AtomicBool::new(false),
        });
        if all.len() >= MAX_REMEMBERED {
            let ended = all.iter().position(|one| !one.is_running());
            all.remove(ended.unwrap_or(0));
        }
        all.push_back(Arc::clone(&operation));
        drop(all);
        Ok((operation, permit))
    }
}

impl Operation {
    /// A step has been done.
    pub(super) fn add(&self, step: OperationStep) {
        let mut progress = lock(&self.progress);
        let done = &mut progress.done;
        done.changed += step.changed;
        done.pending += step.pending;
        done.requested += step.requested;
    }

    /// It has ended.
    pub(super) fn end(&self, state: OperationState) {
        let mut progress = lock(&self.progress);
        progress.state = state;
        progress.ended_at = Some(now_ms());
    }

    fn is_running(&self) -> bool {
        lock(&self.progress).state == OperationState::Running
    }

    fn view(&self) -> OperationView {
        let OperationProgress {
            done,
            state,
            ended_at,
        } = lock(&self.progress).clone();
        let ordered = &self.ordered;
        OperationView {
            id: self.id,
            act: ordered.act,
            subject: ordered.subject.clone(),
            actor: ordered.actor.name.clone(),
            reason: ordered.actor.reason.clone(),
            rate: ordered.rate,
            total: ordered.total,
            changed: done.changed,
            pending: done.pending,
            requested: done.requested,
            started_at: self.started_at,
            ended_at,
            state,
        }
    }
}

/// A panic while it was held leaves figures that are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(number: u64) -> Ordered {
        Ordered {
            act: OperationAct::Cancel,
            subject: number.to_string(),
            rate: 10,
            total: 25,
            counted_at: 7,
            actor: Actor::new(None, Some("why".to_owned()), Some("ann")).unwrap(),
            grant: OperationGrant::new(|| true),
        }
    }

    #[tokio::test]
    async fn so_many_run_and_so_many_are_remembered() {
        let operations = Operations::new(CancellationToken::new());
        let running: Vec<_> = (0..u64::from(MAX_RUNNING))
            .map(|number| operations.begin(ordered(number)).unwrap())
            .collect();
        let refused = operations.begin(ordered(9)).err().unwrap();
        assert_eq!(refused.problem().code(), ProblemCode::TooManyRunning);
        let first = running[0].0.id;
        drop(running);
        for number in 10..210 {
            let (operation, _permit) = operations.begin(ordered(number)).unwrap();
            operation.end(OperationState::Done);
        }
        // Those that run are kept before those that have ended.
        assert_eq!(operations.list().len(), MAX_REMEMBERED);
        assert_eq!(operations.list()[0].subject, "209");
        assert_eq!(
            operations.view(first).unwrap().state,
            OperationState::Running
        );
        assert!(operations.view(Uuid::nil()).is_err() && operations.stop(Uuid::nil()).is_err());
        operations.finished().await;
    }

    #[tokio::test]
    async fn the_same_act_on_the_same_callbacks_runs_once() {
        let operations = Operations::new(CancellationToken::new());
        let (first, permit) = operations.begin(ordered(1)).unwrap();
        match operations.begin(ordered(1)).err().unwrap() {
            NotBegun::Same(id) => assert_eq!(id, first.id),
            NotBegun::Full => panic!("it is the same"),
        }
        let other_act = Ordered {
            act: OperationAct::RetryNow,
            ..ordered(1)
        };
        assert!(operations.begin(other_act).is_ok());
        assert!(operations.begin(ordered(2)).is_ok());
        first.end(OperationState::Done);
        drop(permit);
        assert!(operations.begin(ordered(1)).is_ok());
    }

    #[test]
    fn of_many_who_stop_an_operation_at_once_one_is_told() {
        let operations = Operations::new(CancellationToken::new());
        for number in 0..50 {
            let (operation, _permit) = operations.begin(ordered(number)).unwrap();
            let start = std::sync::Barrier::new(4);
            let told = std::thread::scope(|scope| {
                let stop = || {
                    start.wait();
                    operations.stop(operation.id).unwrap().is_some()
                };
                let all = [0; 4].map(|_| scope.spawn(stop));
                let told = all.into_iter().filter_map(|one| one.join().ok());
                told.filter(|told| *told).count()
            });
            assert_eq!(told, 1);
            operation.end(OperationState::Stopped);
        }
    }

    #[test]
    fn progress_adds_up_and_says_what_is_left() {
        let operations = Operations::new(CancellationToken::new());
        let (operation, _permit) = operations.begin(ordered(1)).unwrap();
        for changed in [10, 4] {
            operation.add(OperationStep {
                changed,
                pending: 0,
                requested: 1,
            });
        }
        let view = operations.view(operation.id).unwrap();
        assert_eq!((view.done(), view.left_s()), (16, 1));
        assert_eq!(operations.stop(operation.id).unwrap().unwrap().done(), 16);
        assert!(operation.stop.is_cancelled());
        assert!(
            operations.stop(operation.id).unwrap().is_none(),
            "a second click"
        );
        operation.end(OperationState::Stopped);
        let view = operations.view(operation.id).unwrap();
        assert_eq!(view.state, OperationState::Stopped);
        assert!(view.ended_at >= Some(view.started_at));
    }
}
