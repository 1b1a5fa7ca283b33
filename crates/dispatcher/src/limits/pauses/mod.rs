//! Paused targets and callees.
//!
//! Pauses are stored in the journal and read once a second, so an attempt does not wait for a query.
//! While the journal is unavailable, the last known pauses stay in force. Without a journal they exist
//! in this process only.

use crate::config::AutoPauseConfig;
use delivery::Outcome;
use delivery::limits::{CallSample, HealthSignal, LimitKey};
use journal::{AuditEntry, Journal, JournalError, Pause, PauseKind};
use runtime::clock::now_ms;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

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
#[derive(Clone, Debug, Default)]
pub struct PauseRegistry(Arc<RegistryState>);

#[derive(Debug, Default)]
struct RegistryState {
    journal: Option<Journal>,
    auto_pause: AutoPauseConfig,
    /// Never held across an await.
    known: RwLock<KnownPauses>,
    /// Keys that have only failed since some time.
    failing: Mutex<HashMap<LimitKey, Failing>>,
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
    active: HashMap<LimitKey, Pause>,
    /// Created by this process, and not in the journal yet.
    unwritten: HashMap<LimitKey, UnwrittenPause>,
    /// Counts the changes by this process: what was read before the last one is outdated.
    changes: u64,
    /// Whether the journal has been read once.
    loaded: bool,
}

impl PauseRegistry {
    /// A registry that knows no pause yet.
    pub fn new(journal: Option<Journal>, auto_pause: AutoPauseConfig) -> Self {
        Self(Arc::new(RegistryState {
            journal,
            auto_pause,
            ..RegistryState::default()
        }))
    }

    fn known(&self) -> RwLockReadGuard<'_, KnownPauses> {
        // Nothing panics under the lock; if it did, the maps would still be whole.
        let known = self.0.known.read();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    /// For a change by this process.
    fn change(&self) -> RwLockWriteGuard<'_, KnownPauses> {
        let known = self.0.known.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.changes += 1;
        known
    }

    /// Whether this key is paused.
    pub fn is_paused(&self, key: &LimitKey) -> bool {
        let known = self.known();
        known.active.contains_key(key) || known.unwritten.contains_key(key)
    }

    /// How many pauses are in force, as far as this process knows.
    pub fn count(&self) -> usize {
        let known = self.known();
        let only_unwritten = |key: &&LimitKey| !known.active.contains_key(*key);
        known.active.len() + known.unwritten.keys().filter(only_unwritten).count()
    }

    /// Pauses a key; `false` if it is paused already.
    ///
    /// # Errors
    /// When there is a journal, and it is unavailable.
    pub async fn pause(
        &self,
        key: &LimitKey,
        actor: String,
        reason: String,
    ) -> Result<bool, JournalError> {
        let pause = new_pause(key, actor, reason);
        if let Some(journal) = &self.0.journal {
            let new = journal.pause(&pause).await?;
            self.change().active.entry(key.clone()).or_insert(pause);
            return Ok(new);
        }
        let mut known = self.change();
        let new = !known.active.contains_key(key);
        known.active.entry(key.clone()).or_insert(pause);
        Ok(new)
    }

    /// Ends a pause; returns the one that was in force.
    ///
    /// # Errors
    /// When there is a journal, and it is unavailable.
    pub async fn resume(&self, key: &LimitKey) -> Result<Option<Pause>, JournalError> {
        let written = match &self.0.journal {
            Some(journal) => {
                let Pause { kind, name, .. } = new_pause(key, String::new(), String::new());
                journal.resume(kind, &name).await?
            }
            None => None,
        };
        let mut known = self.change();
        let (active, unwritten) = (known.active.remove(key), known.unwritten.remove(key));
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

    /// Reads the journal at intervals until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
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
                tokio::time::sleep(wait).await;
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
        let keyed = |pause: Pause| Some((key_of(&pause)?, pause));
        let active: HashMap<LimitKey, Pause> = pauses.into_iter().filter_map(keyed).collect();
        let known = self.0.known.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        // This process has paused or resumed something since: the next refresh includes it.
        if known.changes != before {
            return;
        }
        let new = active.keys().filter(|key| !known.active.contains_key(*key));
        let new: Vec<LimitKey> = new.cloned().collect();
        known.active = active;
        known.loaded = true;
        drop(known);
        for key in new {
            tracing::info!(callback_target = %key, "target paused: its callbacks are deferred");
            self.clear_failing(&key);
        }
    }

    /// Writes automatic pauses of this process into the journal. One that cannot be written stays in
    /// force in this process, is tried again at the next refresh, and holds up nothing else.
    async fn write(&self, journal: &Journal) {
        let unwritten: Vec<(LimitKey, UnwrittenPause)> = {
            let known = self.known();
            let unwritten = known.unwritten.clone();
            unwritten.into_iter().collect()
        };
        for (key, UnwrittenPause { pause, refused }) in unwritten {
            let new = match journal.pause(&pause).await {
                Ok(new) => new,
                // The others would fail, too.
                Err(JournalError::Unavailable(_) | JournalError::Incompatible(_)) => return,
                Err(error @ JournalError::Refused(_)) => {
                    if !refused {
                        tracing::error!(
                            callback_target = %key, %error,
                            "an automatic pause cannot be stored: it is in force in this process only"
                        );
                        let known = self.0.known.write();
                        let mut known = known.unwrap_or_else(PoisonError::into_inner);
                        if let Some(unwritten) = known.unwritten.get_mut(&key) {
                            unwritten.refused = true;
                        }
                    }
                    continue;
                }
            };
            {
                let mut known = self.change();
                known.unwritten.remove(&key);
                known.active.entry(key).or_insert_with(|| pause.clone());
            }
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
        let pause = new_pause(key, AUTO.to_owned(), reason);
        let mut known = self.change();
        match self.0.journal {
            Some(_) => {
                let refused = false;
                let unwritten = UnwrittenPause { pause, refused };
                known.unwritten.insert(key.clone(), unwritten);
            }
            None => {
                known.active.insert(key.clone(), pause);
            }
        }
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

fn new_pause(key: &LimitKey, actor: String, reason: String) -> Pause {
    Pause {
        kind: match key {
            LimitKey::Callee(_) => PauseKind::Callee,
            LimitKey::Target(_) => PauseKind::Target,
        },
        name: key.to_string(),
        paused_by: actor,
        paused_at: now_ms(),
        reason,
    }
}

/// The key of a pause. `None`: this version cannot parse its target.
fn key_of(pause: &Pause) -> Option<LimitKey> {
    match pause.kind {
        PauseKind::Callee => Some(LimitKey::Callee(pause.name.as_str().into())),
        PauseKind::Target => LimitKey::parse(&pause.name).ok(),
    }
}

#[cfg(test)]
mod tests;
