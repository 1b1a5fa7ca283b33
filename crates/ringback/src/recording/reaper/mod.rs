//! Marks callbacks whose end was not recorded as `unaccounted`, by evidence only.
//!
//! A callback whose last record was lost stays `queued` or `retrying` in the journal for ever. If its
//! due time is long past, and its message is in no queue and held by no dispatcher, nobody will record
//! its end. It is then marked, for operators to see. A record of it that comes after all revives it.
//!
//! - `evidence.rs`: what is enough evidence. Pure. Start here.
//! - `probes.rs`: what proves that the work queues were worked off.
//! - `completeness.rs`: what proves that no record is on its way.
//!
//! One process at a time does this, with a lease in the journal.

mod completeness;
mod evidence;
mod probes;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use admin::Reconciler;
use broker::{Broker, ConnectionState, Depths};
use contract::duration_ms;
use journal::{Journal, JournalError, OverdueCallback, Pause, PauseKind, Recorder};
use runtime::clock::now_ms;
use runtime::program::as_called;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::metrics::RecordingMetrics;
use completeness::Completeness;
use evidence::{
    Evidence, Moment, Obstacle, ProbePair, QueueEvidence, RowFacts, Rule, StoreEvidence,
    StrayMessages, find_obstacle,
};
use probes::Prober;

/// The longest time that a dispatcher holds a message: it waits for the first read of cancellations
/// after a start (60 s) and for its own (1 s), for a permit (`limits.queue_timeout`, at most 60 s), makes
/// its attempt (at most 60 s), waits for its record (5 s) and for its follow-up; or it is returned 5 s
/// after it was dropped, or when the broker has noticed that its dispatcher has gone (60 s).
const HOLD: Duration = Duration::from_secs(5 * 60);

const LEASE: &str = "callbacks.unaccounted";
const LEASE_DURATION: Duration = Duration::from_secs(60);
const LEASE_INTERVAL: Duration = Duration::from_secs(15);

/// Between two rounds.
const MAX_INTERVAL: Duration = Duration::from_secs(5 * 60);
/// After rounds that found an obstacle, the time between two grows up to this.
const MAX_BACKOFF: Duration = Duration::from_secs(60 * 60);
/// The maximum number of callbacks in a round.
const MAX_CALLBACKS: usize = 10_000;
/// The maximum number of pages that a round reads.
const MAX_PAGES: u32 = 50;
/// Between two pages, so that other queries are not held up.
const PAGE_PAUSE: Duration = Duration::from_millis(20);
/// How many callbacks are marked in one transaction.
const STEP: usize = 500;
/// How long the records of other processes may take to arrive.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// How long this process's records may take.
const RECORDED_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait for a fresh depth of the queues.
const DEPTH_TIMEOUT: Duration = Duration::from_secs(3);
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Where messages are, and so what proves that one is nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MessageLocation {
    /// In RabbitMQ, and with dispatchers.
    Queues,
    /// In the embedded store of this process.
    Store,
}

/// Marks callbacks whose end was not recorded.
pub(super) struct Reaper {
    pub(super) location: MessageLocation,
    pub(super) broker: Broker,
    pub(super) journal: Journal,
    pub(super) recorder: Recorder,
    pub(super) reconciler: Reconciler,
    pub(super) metrics: RecordingMetrics,
    /// `journal.unaccounted_after`.
    pub(super) after: Duration,
    pub(super) stop: CancellationToken,
    /// The reading of the dead-letter queue: a round that ends early must not drop what it holds.
    pub(super) reading: TaskTracker,
}

/// Why a round ended early.
enum RoundError {
    Obstacle(Obstacle),
    Journal(JournalError),
}

impl From<Obstacle> for RoundError {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

impl From<JournalError> for RoundError {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

/// The callbacks of a round.
struct Chosen {
    callbacks: Vec<OverdueCallback>,
    /// Before the first was read.
    at: Instant,
}

impl Reaper {
    /// Runs rounds until the stop.
    pub(super) async fn run(self) {
        self.stop.run_until_cancelled(self.run_rounds()).await;
        // Settles the dead letters that it holds.
        self.reading.close();
        self.reading.wait().await;
    }

    async fn run_rounds(&self) {
        let interval = (self.after / 8).clamp(POLL_INTERVAL, MAX_INTERVAL);
        let (owner, mut scan, mut wait) = (Uuid::now_v7(), None, interval);
        loop {
            tokio::time::sleep(wait).await;
            let round = async {
                if !self.extend_lease(owner).await? {
                    return Ok(None);
                }
                tokio::select! {
                    biased;
                    lost = self.hold_lease(owner) => Err(lost),
                    marked = self.round(&mut scan) => marked.map(Some),
                }
            };
            wait = match round.await {
                Ok(None | Some(_)) => interval,
                Err(error) => {
                    match error {
                        RoundError::Obstacle(obstacle) => {
                            let obstacle = obstacle.as_str();
                            tracing::info!(obstacle, "overdue callbacks are left as they are");
                        }
                        RoundError::Journal(error) => {
                            tracing::debug!(%error, "overdue callbacks could not be judged");
                        }
                    }
                    (wait * 2).clamp(interval, MAX_BACKOFF)
                }
            };
        }
    }

    async fn extend_lease(&self, owner: Uuid) -> Result<bool, JournalError> {
        let now = now_ms();
        let until = now.saturating_add(duration_ms(LEASE_DURATION));
        self.journal.take_lease(LEASE, owner, now, until).await
    }

    /// Extends the lease until that fails.
    async fn hold_lease(&self, owner: Uuid) -> RoundError {
        loop {
            tokio::time::sleep(LEASE_INTERVAL).await;
            match self.extend_lease(owner).await {
                Ok(true) => {}
                Ok(false) => return Obstacle::LeaseLost.into(),
                Err(error) => return error.into(),
            }
        }
    }

    /// Chooses overdue callbacks, gathers the evidence, and marks those that it leaves nowhere.
    async fn round(&self, scan: &mut Option<Uuid>) -> Result<u64, RoundError> {
        let chosen = self.choose(scan).await?;
        if chosen.callbacks.is_empty() {
            return Ok(0);
        }
        let marked = match self.location {
            MessageLocation::Queues => self.judge_by_queues(&chosen).await?,
            MessageLocation::Store => self.judge_by_store(&chosen).await?,
        };
        if marked > 0 {
            self.metrics.unaccounted(marked);
            tracing::warn!(
                callbacks = marked,
                "{}",
                as_called(
                    "callbacks are unaccounted: no queue holds their messages, and no record says how \
                     they ended (list them with `ringback callback list --status unaccounted`)"
                )
            );
        }
        Ok(marked)
    }

    /// The overdue callbacks that are not paused, from where the last round ended.
    async fn choose(&self, scan: &mut Option<Uuid>) -> Result<Chosen, JournalError> {
        let at = Instant::now();
        let due_before = now_ms().saturating_sub(duration_ms(self.after));
        let paused = Paused::of(self.journal.pauses().await?);
        let mut callbacks = Vec::new();
        for _ in 0..MAX_PAGES {
            let page = self.journal.overdue(due_before, *scan).await?;
            let overdue = page.overdue.into_iter();
            callbacks.extend(overdue.filter(|callback| !paused.contains(callback)));
            *scan = page.next;
            if scan.is_none() || callbacks.len() >= MAX_CALLBACKS {
                break;
            }
            tokio::time::sleep(PAGE_PAUSE).await;
        }
        Ok(Chosen { callbacks, at })
    }

    async fn judge_by_queues(&self, chosen: &Chosen) -> Result<u64, RoundError> {
        let mut publishing = self.broker.publishing();
        let interrupted = async {
            let not_connected = |state: &ConnectionState| *state != ConnectionState::Connected;
            let _ = publishing.wait_for(not_connected).await;
        };
        let gathered = tokio::select! {
            biased;
            () = interrupted => Err(Obstacle::Interrupted.into()),
            gathered = self.gather(chosen) => gathered,
        };
        let evidence = Evidence::Queues(gathered?);
        self.mark(&chosen.callbacks, |_| evidence).await
    }

    /// Gathers the evidence, as long as the broker is connected.
    async fn gather(&self, chosen: &Chosen) -> Result<QueueEvidence, RoundError> {
        let since = |at: Instant| -> Moment { at.saturating_duration_since(chosen.at) };
        let rule = self.rule();
        let (journal, recorder) = (self.journal.clone(), self.recorder.clone());
        let completeness = Completeness::watch(&self.broker, journal, recorder, self.after);
        let mut prober = Prober::new(&self.broker);
        let read = since(Instant::now());
        let mut probes = [ProbePair {
            sent: read,
            answered: read,
        }; 2];
        for pair in &mut probes {
            pair.sent = since(Instant::now());
            prober.probe_queues().await?;
            let answered = Instant::now();
            pair.answered = since(answered);
            tokio::time::sleep_until(answered + rule.hold).await;
        }
        let settled_at = now_ms();
        let looked = Instant::now();
        let stray = self.stray_messages().await;
        if let Some(obstacle) = stray.obstacle() {
            return Err(obstacle.into()); // The dead letters need not be read.
        }
        let read_since = Instant::now();
        let all_read = self.read_dead_letters().await;
        let complete_until = complete_until(settled_at, || completeness.until()).await;
        Ok(QueueEvidence {
            chosen: read,
            probes,
            uninterrupted: true,
            looked: since(looked),
            stray,
            dead_letters_read: all_read.then(|| since(read_since)),
            settled_at,
            complete_until,
        })
    }

    /// Records the dead letters that the journal lacks. Returns whether all were read.
    async fn read_dead_letters(&self) -> bool {
        let (reconciler, stop) = (self.reconciler.clone(), self.stop.clone());
        let read = async move { reconciler.reconcile_all(&stop).await };
        self.reading.spawn(read).await.unwrap_or(false)
    }

    /// What waits in the queues that no attempt reads, by a reading of now.
    async fn stray_messages(&self) -> StrayMessages {
        let mut depths = self.broker.depths();
        depths.mark_unchanged();
        match timeout(DEPTH_TIMEOUT, depths.changed()).await {
            Ok(Ok(())) => stray(&depths.borrow()),
            Ok(Err(_)) | Err(_) => StrayMessages::Unknown,
        }
    }

    async fn judge_by_store(&self, chosen: &Chosen) -> Result<u64, RoundError> {
        // A dead letter without its record would be held for ever.
        if !self.read_dead_letters().await {
            return Err(Obstacle::DeadLettersUnread.into());
        }
        let ids = chosen.callbacks.iter().map(message_id);
        let read_at = std::time::Instant::now();
        let held = self.broker.held_ids(ids.collect()).await;
        let recorded = async {
            // A message is recorded before it is settled.
            let before = |oldest: std::time::Instant| oldest <= read_at;
            while self.recorder.oldest_buffered().is_some_and(before)
                || self.recorder.has_unread_files()
            {
                tokio::time::sleep(POLL_INTERVAL / 10).await;
            }
        };
        let records_written = timeout(RECORDED_TIMEOUT, recorded).await.is_ok();
        self.mark(&chosen.callbacks, |callback| {
            let is_held = |held: &HashSet<String>| held.contains(&message_id(callback));
            Evidence::Store(StoreEvidence {
                held: held.as_ref().map(is_held),
                records_written,
            })
        })
        .await
    }

    /// Marks the callbacks that the evidence leaves nowhere, if their rows have not changed since.
    async fn mark(
        &self,
        callbacks: &[OverdueCallback],
        evidence: impl Fn(&OverdueCallback) -> Evidence,
    ) -> Result<u64, RoundError> {
        let paused = Paused::of(self.journal.pauses().await?);
        let (rule, now) = (self.rule(), now_ms());
        let (mut nowhere, mut obstacle) = (Vec::new(), None);
        for callback in callbacks {
            let row = RowFacts {
                due_at: callback.due_at,
                paused: paused.contains(callback),
            };
            match find_obstacle(row, &evidence(callback), rule, now) {
                None => nowhere.push(callback.clone()),
                Some(found) => obstacle = Some(found),
            }
        }
        if let (true, Some(obstacle)) = (nowhere.is_empty(), obstacle) {
            return Err(obstacle.into());
        }
        let mut marked = 0;
        for step in nowhere.chunks(STEP) {
            marked += self.journal.mark_unaccounted(step, now).await?;
        }
        Ok(marked)
    }

    /// A hold longer than the setting would only keep a test waiting: who sets it so low accepts that
    /// a callback is marked during its attempt, and revived after it.
    fn rule(&self) -> Rule {
        Rule {
            after: self.after,
            hold: HOLD.min(self.after),
        }
    }
}

/// Waits until the journal is complete up to `settled_at` (Unix ms). Returns up to what time it is.
async fn complete_until(settled_at: u64, until: impl Fn() -> Option<u64>) -> Option<u64> {
    let complete = async {
        while until().is_none_or(|until| until < settled_at) {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let _ = timeout(COMPLETE_TIMEOUT, complete).await;
    until()
}

/// The id of a callback's messages in the broker.
fn message_id(callback: &OverdueCallback) -> String {
    callback.request_id.hyphenated().to_string()
}

/// The unreadable messages are among them: one may be a callback of another version.
fn stray(depths: &Depths) -> StrayMessages {
    let queues = [depths.delivery_limit, depths.unrouted, depths.unreadable];
    let sum = queues.into_iter().reduce(broker::Depth::plus);
    match sum.and_then(broker::Depth::current) {
        None => StrayMessages::Unknown,
        Some(0) => StrayMessages::None,
        Some(_) => StrayMessages::Some,
    }
}

/// The pauses in force.
struct Paused {
    callees: HashSet<String>,
    targets: HashSet<String>,
    /// Deliveries are stopped.
    everything: bool,
}

impl Paused {
    fn of(pauses: Vec<Pause>) -> Self {
        let mut paused = Self {
            callees: HashSet::new(),
            targets: HashSet::new(),
            everything: false,
        };
        for Pause { kind, name, .. } in pauses {
            match kind {
                PauseKind::Callee => {
                    paused.callees.insert(name);
                }
                PauseKind::Target => {
                    paused.targets.insert(name);
                }
                PauseKind::Deliveries => paused.everything = true,
                // Each deferral leaves a record: what these defer does not become overdue.
                PauseKind::App | PauseKind::MessageType => {}
                PauseKind::Intake => {}
            }
        }
        paused
    }

    /// Whether everything is paused, or the callback's callee or target. A callee's URL may have
    /// changed since: either is enough.
    fn contains(&self, callback: &OverdueCallback) -> bool {
        let callee = callback.callee_no.as_ref();
        self.everything
            || callee.is_some_and(|no| self.callees.contains(no))
            || self.targets.contains(&callback.target)
    }
}
