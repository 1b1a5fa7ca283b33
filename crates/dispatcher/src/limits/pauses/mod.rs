//! Pauses: of targets, callees, apps and message types; and the switches for intake and deliveries.
//!
//! Pauses are stored in the journal and read once a second, so an attempt does not wait for a query.
//! While the journal is unavailable, the last known pauses stay in force. Without a journal they exist
//! in this process only.
//!
//! - `key.rs`: what a pause stops. `in_force.rs`: the pauses as attempts ask for them.

mod in_force;
mod key;

use crate::config::AutoPauseConfig;
use delivery::Outcome;
use delivery::limits::{CallSample, HealthSignal, LimitKey};
use in_force::PausesInForce;
use journal::{AuditEntry, Journal, JournalError, Pause};
use runtime::Reloadable;
use runtime::clock::now_ms;
use runtime::program::as_called;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub use in_force::PauseCounts;
pub use key::{PauseKey, Switch};

/// How often pauses are read.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// How often they are read until the first success.
const FIRST_REFRESH_INTERVAL: Duration = Duration::from_millis(100);
const JOURNAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of failing keys that are tracked. Beyond it, those are forgotten that have not
/// failed for the longest time.
const MAX_FAILING: usize = 10_000;
/// The actor of automatic pauses.
const AUTO: &str = "auto";

/// The pauses that this process knows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PauseRegistry(Arc<RegistryState>);

#[derive(Debug)]
struct RegistryState {
    journal: Option<Journal>,
    auto_pause: AutoPauseConfig,
    /// Never held across an await.
    known: RwLock<KnownPauses>,
    /// What attempts read. Follows `known`.
    in_force: Reloadable<PausesInForce>,
    /// The switches follow `known`, too.
    intake: watch::Sender<Option<Pause>>,
    deliveries: watch::Sender<Option<Pause>>,
    /// Keys that have only failed since some time.
    failing: Mutex<HashMap<LimitKey, Failing>>,
    /// Asks to read the journal before the interval is over.
    refresh_asked: Notify,
}

/// Since when a key has only failed, and when it last did.
#[derive(Clone, Copy, Debug)]
struct Failing {
    since: Instant,
    last: Instant,
}

#[derive(Clone, Debug)]
struct UnwrittenPause {
    pause: Pause,
    /// The journal has refused it, which was logged.
    refused: bool,
}

#[derive(Debug, Default)]
struct KnownPauses {
    active: HashMap<PauseKey, Pause>,
    /// Created by this process, and not in the journal yet.
    unwritten: HashMap<PauseKey, UnwrittenPause>,
    /// Counts the changes by this process: what was read before the last one is outdated.
    changes: u64,
    /// Whether the journal has been read once.
    loaded: bool,
}

impl KnownPauses {
    fn find(&self, key: &PauseKey) -> Option<&Pause> {
        let unwritten = || self.unwritten.get(key).map(|unwritten| &unwritten.pause);
        self.active.get(key).or_else(unwritten)
    }
}

impl Default for PauseRegistry {
    /// Without a journal or automatic pauses.
    fn default() -> Self {
        Self::new(None, AutoPauseConfig::default())
    }
}

impl PauseRegistry {
    /// A registry that knows no pause yet.
    pub fn new(journal: Option<Journal>, auto_pause: AutoPauseConfig) -> Self {
        Self(Arc::new(RegistryState {
            journal,
            auto_pause,
            known: RwLock::default(),
            in_force: Reloadable::new(PausesInForce::default()),
            intake: watch::Sender::new(None),
            deliveries: watch::Sender::new(None),
            failing: Mutex::default(),
            refresh_asked: Notify::new(),
        }))
    }

    fn known(&self) -> RwLockReadGuard<'_, KnownPauses> {
        // Nothing panics under the lock; if it did, the maps would still be whole.
        let known = self.0.known.read();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known. Before the lock is released, attempts and the waiters of the switches
    /// see it.
    fn update<T>(&self, change: impl FnOnce(&mut KnownPauses) -> T) -> T {
        let known = self.0.known.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut known);
        let keys = known.active.keys().chain(known.unwritten.keys());
        self.0.in_force.set(PausesInForce::of(keys));
        for (switch, sender) in [
            (Switch::Intake, &self.0.intake),
            (Switch::Deliveries, &self.0.deliveries),
        ] {
            let now = known.find(&PauseKey::Switch(switch));
            sender.send_if_modified(|last| {
                if last.as_ref() == now {
                    return false;
                }
                log_switch(switch, now);
                *last = now.cloned();
                true
            });
        }
        result
    }

    /// As [`Self::update`], for a change by this process.
    fn change<T>(&self, change: impl FnOnce(&mut KnownPauses) -> T) -> T {
        self.update(|known| {
            known.changes += 1;
            change(known)
        })
    }

    /// Whether this key is paused.
    pub fn is_paused(&self, key: &LimitKey) -> bool {
        self.0.in_force.get().is_paused(key)
    }

    /// What is in force now, for one attempt.
    pub(crate) fn in_force(&self) -> Arc<PausesInForce> {
        self.0.in_force.get()
    }

    /// The pauses that this process knows of these keys.
    pub fn find(&self, keys: &[PauseKey]) -> Vec<Pause> {
        let known = self.known();
        let found = keys.iter().filter_map(|key| known.find(key));
        found.cloned().collect()
    }

    /// How many pauses are in force, as far as this process knows.
    pub fn counts(&self) -> PauseCounts {
        self.0.in_force.get().counts()
    }

    /// The pause of intake, while it is stopped.
    pub fn intake(&self) -> watch::Receiver<Option<Pause>> {
        self.0.intake.subscribe()
    }

    /// The pause of deliveries, while they are stopped.
    pub fn deliveries(&self) -> watch::Receiver<Option<Pause>> {
        self.0.deliveries.subscribe()
    }

    /// The switches in force, as far as this process knows.
    pub fn switches(&self) -> Vec<Pause> {
        let switches = [&self.0.intake, &self.0.deliveries];
        let in_force = switches.into_iter().filter_map(|it| it.borrow().clone());
        in_force.collect()
    }

    /// Whether pauses are shared by all processes, through the journal.
    pub fn is_shared(&self) -> bool {
        self.0.journal.is_some()
    }

    /// Pauses a key; `false` if it is paused already.
    ///
    /// # Errors
    /// When there is a journal, and it is unavailable.
    pub async fn pause(
        &self,
        key: &PauseKey,
        actor: String,
        reason: String,
    ) -> Result<bool, JournalError> {
        let pause = new_pause(key, actor, reason);
        let new = match &self.0.journal {
            Some(journal) => Some(journal.pause(&pause).await?),
            None => None,
        };
        Ok(self.change(|known| {
            let new = new.unwrap_or(!known.active.contains_key(key));
            known.active.entry(key.clone()).or_insert(pause);
            new
        }))
    }

    /// Ends a pause; returns the one that was in force.
    ///
    /// # Errors
    /// When there is a journal, and it is unavailable.
    pub async fn resume(&self, key: &PauseKey) -> Result<Option<Pause>, JournalError> {
        let written = match &self.0.journal {
            Some(journal) => journal.resume(key.kind(), &key.name()).await?,
            None => None,
        };
        let (active, unwritten) =
            self.change(|known| (known.active.remove(key), known.unwritten.remove(key)));
        let unwritten = unwritten.map(|unwritten| unwritten.pause);
        // An active pause that the journal does not have is outdated.
        let active = active.filter(|_| self.0.journal.is_none());
        Ok(written.or(unwritten).or(active))
    }

    /// All pauses in force, oldest first.
    ///
    /// # Errors
    /// When there is a journal, and it is unavailable.
    pub async fn list(&self) -> Result<Vec<Pause>, JournalError> {
        let mut all = match &self.0.journal {
            Some(journal) => journal.pauses().await?,
            None => self.known().active.values().cloned().collect(),
        };
        let known = self.known();
        for UnwrittenPause { pause, .. } in known.unwritten.values() {
            let same = |other: &Pause| other.kind == pause.kind && other.name == pause.name;
            if !all.iter().any(same) {
                all.push(pause.clone());
            }
        }
        all.sort_by_key(|pause| (pause.paused_at, pause.kind, pause.name.clone()));
        Ok(all)
    }

    /// Reads the journal now instead of within a second: another process has changed a pause.
    pub fn refresh_soon(&self) {
        self.0.refresh_asked.notify_one();
    }

    /// Reads the journal at intervals until `stop`. Each process does so once.
    pub async fn run(self, stop: CancellationToken) {
        if self.0.journal.is_none() {
            return;
        }
        loop {
            let wait = match self.known().loaded {
                true => REFRESH_INTERVAL,
                false => FIRST_REFRESH_INTERVAL,
            };
            let refresh = async {
                self.refresh().await;
                let asked = self.0.refresh_asked.notified();
                let _ = tokio::time::timeout(wait, asked).await;
            };
            if stop.run_until_cancelled(refresh).await.is_none() {
                return;
            }
        }
    }

    /// Waits until the pauses have been read, but at most for `timeout`: an outage of the journal must
    /// not stop deliveries.
    pub(crate) async fn loaded(&self, timeout: Duration) {
        if self.0.journal.is_none() {
            return;
        }
        let loaded = async {
            while !self.known().loaded {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(timeout, loaded).await.is_err() {
            tracing::warn!(
                "journal unavailable, pauses unknown: all targets are called until it is back"
            );
        }
    }

    async fn refresh(&self) {
        let Some(journal) = &self.0.journal else {
            return;
        };
        // Apart from the read, which must not wait for many pauses that are refused.
        let written = tokio::time::timeout(JOURNAL_TIMEOUT, self.write(journal)).await;
        if written.is_err() {
            tracing::debug!("not all automatic pauses were written in time");
        }
        let read = async {
            let before = self.known().changes;
            Ok::<_, JournalError>((before, journal.pauses().await?))
        };
        let error = match tokio::time::timeout(JOURNAL_TIMEOUT, read).await {
            Ok(Ok((before, pauses))) => return self.apply(before, pauses),
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::debug!(
            error,
            "failed to read the pauses; the last known ones stay in force"
        );
    }

    /// Applies the pauses that were read; `before` is the count of changes before the read.
    fn apply(&self, before: u64, pauses: Vec<Pause>) {
        let keyed = |pause: Pause| Some((PauseKey::of(pause.kind, &pause.name)?, pause));
        let active: HashMap<PauseKey, Pause> = pauses.into_iter().filter_map(keyed).collect();
        {
            let known = self.known();
            let is_known = known.changes != before || (known.loaded && known.active == active);
            if is_known {
                return; // Nearly always: attempts go on with what they have.
            }
        }
        let new = self.update(|known| {
            // This process has paused or resumed something since: the next refresh includes it.
            if known.changes != before {
                return Vec::new();
            }
            let new = active.keys().filter(|key| !known.active.contains_key(*key));
            let new: Vec<PauseKey> = new.cloned().collect();
            known.active = active;
            known.loaded = true;
            new
        });
        for key in new {
            match &key {
                PauseKey::Limit(key) => {
                    tracing::info!(callback_target = %key, "target paused: its callbacks are deferred");
                    self.clear_failing(key);
                }
                PauseKey::App(app_id) => {
                    tracing::info!(app_id = &**app_id, "app paused: its callbacks are deferred");
                }
                PauseKey::MessageType(message_type) => {
                    let message_type = &**message_type;
                    tracing::info!(
                        message_type,
                        "message type paused: its callbacks are deferred"
                    );
                }
                PauseKey::Switch(_) => {}
            }
        }
    }

    /// Writes automatic pauses of this process into the journal. One that cannot be written stays in
    /// force in this process, is tried again at the next refresh, and holds up nothing else.
    async fn write(&self, journal: &Journal) {
        let unwritten: Vec<(PauseKey, UnwrittenPause)> = {
            let known = self.known();
            let unwritten = known.unwritten.clone();
            unwritten.into_iter().collect()
        };
        for (key, UnwrittenPause { pause, refused }) in unwritten {
            let new = match journal.pause(&pause).await {
                Ok(new) => new,
                // The others would fail, too.
                Err(
                    JournalError::Unavailable(_)
                    | JournalError::TooSlow(_)
                    | JournalError::Incompatible(_),
                ) => return,
                Err(error @ JournalError::Refused(_)) => {
                    if !refused {
                        tracing::error!(
                            callback_target = %key, %error,
                            "an automatic pause cannot be stored: it is in force in this process only"
                        );
                        self.update(|known| {
                            if let Some(unwritten) = known.unwritten.get_mut(&key) {
                                unwritten.refused = true;
                            }
                        });
                    }
                    continue;
                }
            };
            self.change(|known| {
                known.unwritten.remove(&key);
                known.active.entry(key).or_insert_with(|| pause.clone());
            });
            let entry = AuditEntry {
                occurred_at: pause.paused_at,
                actor: pause.paused_by,
                action: "pause".to_owned(),
                subject: pause.name,
                reason: pause.reason,
                count: 1,
            };
            if new && let Err(error) = journal.append_audit(&entry).await {
                tracing::error!(%error, ?entry, "failed to write an audit entry");
            }
        }
    }

    /// Tracks how a call ended, and pauses its target if `auto_pause` says so.
    pub(crate) fn call_ended(&self, key: Option<&LimitKey>, outcome: &Outcome) {
        let config = &self.0.auto_pause;
        let Some(key) = key.filter(|_| *config != AutoPauseConfig::default()) else {
            return;
        };
        let gone = matches!(outcome, Outcome::Answered { status: 410, .. });
        if config.on_gone && gone {
            return self.auto_pause(key, "it answered 410 Gone".to_owned());
        }
        match CallSample::of(outcome, Duration::ZERO).health {
            HealthSignal::Neutral => {}
            HealthSignal::Success => self.clear_failing(key),
            HealthSignal::Failure if config.after.is_zero() => {}
            HealthSignal::Failure => {
                let now = Instant::now();
                let failing_for = now.duration_since(self.failing_since(key, now));
                if failing_for >= config.after {
                    // Whole seconds are enough.
                    let seconds = Duration::from_secs(failing_for.as_secs());
                    let failing_for = humantime::format_duration(seconds);
                    let outcome = outcome.label();
                    let reason = format!("no success for {failing_for}; last outcome {outcome}");
                    self.auto_pause(key, reason);
                }
            }
        }
    }

    /// Since when the key has been failing: since `now`, if it was not failing before.
    fn failing_since(&self, key: &LimitKey, now: Instant) -> Instant {
        let failing = self.0.failing.lock();
        let mut failing = failing.unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = failing.get_mut(key) {
            known.last = known.last.max(now);
            return known.since;
        }
        if failing.len() >= MAX_FAILING {
            forget_oldest(&mut failing);
        }
        let new = Failing {
            since: now,
            last: now,
        };
        failing.insert(key.clone(), new);
        now
    }

    fn clear_failing(&self, key: &LimitKey) {
        let failing = self.0.failing.lock();
        failing.unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn auto_pause(&self, key: &LimitKey, reason: String) {
        self.clear_failing(key);
        // A call that was in flight when the pause began does not pause again.
        if self.is_paused(key) {
            return;
        }
        tracing::warn!(callback_target = %key, reason, "target auto-paused; resume it once it has recovered");
        let key = PauseKey::Limit(key.clone());
        let pause = new_pause(&key, AUTO.to_owned(), reason);
        let is_shared = self.is_shared();
        self.change(|known| match is_shared {
            true => {
                let refused = false;
                known
                    .unwritten
                    .insert(key, UnwrittenPause { pause, refused });
            }
            false => {
                known.active.insert(key, pause);
            }
        });
    }
}

/// Says in the log that a switch is or is no longer in force.
fn log_switch(switch: Switch, now: Option<&Pause>) {
    match (switch, now) {
        (
            Switch::Intake,
            Some(Pause {
                paused_by, reason, ..
            }),
        ) => tracing::warn!(
            paused_by,
            reason,
            "{}",
            as_called(
                "intake is stopped: new callbacks are answered 503 until `ringback resume --intake`"
            )
        ),
        (
            Switch::Deliveries,
            Some(Pause {
                paused_by, reason, ..
            }),
        ) => tracing::warn!(
            paused_by,
            reason,
            "{}",
            as_called(
                "deliveries are stopped: no attempt begins until `ringback resume --deliveries`"
            )
        ),
        (Switch::Intake, None) => tracing::info!("intake goes on"),
        (Switch::Deliveries, None) => tracing::info!("deliveries go on"),
    }
}

/// Forgets the tenth that has not failed for the longest time, so that the search is rare.
fn forget_oldest(failing: &mut HashMap<LimitKey, Failing>) {
    let mut last: Vec<(Instant, LimitKey)> = failing
        .iter()
        .map(|(key, failing)| (failing.last, key.clone()))
        .collect();
    let count = (MAX_FAILING / 10).min(last.len().saturating_sub(1));
    last.select_nth_unstable_by_key(count, |(last, _)| *last);
    for (_, key) in last.into_iter().take(count) {
        failing.remove(&key);
    }
}

fn new_pause(key: &PauseKey, actor: String, reason: String) -> Pause {
    Pause {
        kind: key.kind(),
        name: key.name(),
        paused_by: actor,
        paused_at: now_ms(),
        reason,
    }
}

#[cfg(test)]
mod tests;
