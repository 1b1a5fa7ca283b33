//! Who is not to be called for now, and how does every dispatcher come to know?
//!
//! Pauses lie in the journal and are read once a second, never before an attempt. While the journal
//! is away, the last known ones hold. Without a journal they live in this process alone.

use crate::attempt::unix_ms;
use delivery::Outcome;
use delivery::limits::{End, Ended, Key};
use journal::{Audit, Journal, JournalError, Pause, PauseKind};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// How often pauses are read.
const EVERY: Duration = Duration::from_secs(1);
/// The same until they are known for the first time.
const AT_FIRST: Duration = Duration::from_millis(100);
/// How long the journal may think.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// So many failing keys are remembered; one more, and the one that failed last is not.
const MOST_FAILING: usize = 10_000;
/// Who pauses where nobody does.
const AUTO: &str = "auto";

/// When a dispatcher pauses by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AutoPause {
    /// At an answer 410.
    pub on_gone: bool,
    /// After failing for so long without one sign of life. Zero: never.
    pub after: Duration,
}

/// What this process knows of pauses. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pauses(Arc<State>);

#[derive(Debug, Default)]
struct State {
    journal: Option<Journal>,
    auto: AutoPause,
    /// Never held across an await.
    known: RwLock<Known>,
    /// Since when a key has failed without a sign of life.
    failing: Mutex<HashMap<Key, Instant>>,
}

#[derive(Debug, Default)]
struct Known {
    held: HashMap<Key, Pause>,
    /// Made here, and not yet in the journal.
    unwritten: HashMap<Key, Pause>,
    /// Counts what was changed here: an answer of the journal from before is old.
    changes: u64,
    /// Whether the journal was ever read.
    read: bool,
}

impl Pauses {
    /// Nothing is paused yet, as far as is known.
    pub fn new(journal: Option<Journal>, auto: AutoPause) -> Self {
        Self(Arc::new(State {
            journal,
            auto,
            ..State::default()
        }))
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        // Nothing panics under the lock; if it did, the maps would still be whole.
        let known = self.0.known.read();
        known.unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Known> {
        let known = self.0.known.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        known.changes += 1;
        known
    }

    /// Whether this key is not to be called.
    pub fn holds(&self, key: &Key) -> bool {
        let known = self.known();
        known.held.contains_key(key) || known.unwritten.contains_key(key)
    }

    /// How many pauses are in force, as far as this process knows.
    pub fn count(&self) -> usize {
        let known = self.known();
        let only_here = |key: &&Key| !known.held.contains_key(*key);
        known.held.len() + known.unwritten.keys().filter(only_here).count()
    }

    /// Pauses; `false` where it is paused already.
    ///
    /// # Errors
    /// When there is a journal, and it is out of reach.
    pub async fn pause(
        &self,
        key: &Key,
        who: String,
        reason: String,
    ) -> Result<bool, JournalError> {
        let pause = made(key, who, reason);
        if let Some(journal) = &self.0.journal {
            let new = journal.pause(&pause).await?;
            self.change().held.entry(key.clone()).or_insert(pause);
            return Ok(new);
        }
        let mut known = self.change();
        let new = !known.held.contains_key(key);
        known.held.entry(key.clone()).or_insert(pause);
        Ok(new)
    }

    /// Ends a pause; returns the one that was in force.
    ///
    /// # Errors
    /// When there is a journal, and it is out of reach.
    pub async fn resume(&self, key: &Key) -> Result<Option<Pause>, JournalError> {
        let written = match &self.0.journal {
            Some(journal) => {
                let Pause { kind, name, .. } = made(key, String::new(), String::new());
                journal.resume(kind, &name).await?
            }
            None => None,
        };
        let mut known = self.change();
        let (held, own) = (known.held.remove(key), known.unwritten.remove(key));
        // What the memory holds beside a journal that does not is old.
        let here = own.or(held.filter(|_| self.0.journal.is_none()));
        Ok(written.or(here))
    }

    /// All pauses in force, oldest first.
    ///
    /// # Errors
    /// When there is a journal, and it is out of reach.
    pub async fn list(&self) -> Result<Vec<Pause>, JournalError> {
        let mut all = match &self.0.journal {
            Some(journal) => journal.pauses().await?,
            None => self.known().held.values().cloned().collect(),
        };
        let known = self.known();
        let named = |pause: &Pause| (pause.kind, pause.name.clone());
        for own in known.unwritten.values() {
            if !all.iter().any(|it| named(it) == named(own)) {
                all.push(own.clone());
            }
        }
        all.sort_by_key(|it| (it.at, it.kind, it.name.clone()));
        Ok(all)
    }

    /// Reads the journal again and again until `stop`.
    pub(crate) async fn follow(self, stop: CancellationToken) {
        if self.0.journal.is_none() {
            return;
        }
        loop {
            let wait = if self.known().read { EVERY } else { AT_FIRST };
            let again = async {
                self.look().await;
                tokio::time::sleep(wait).await;
            };
            if stop.run_until_cancelled(again).await.is_none() {
                return;
            }
        }
    }

    /// Waits until the pauses are known, but not for longer than that: an outage of the journal must
    /// not stop deliveries.
    pub(crate) async fn known_within(&self, most: Duration) {
        if self.0.journal.is_none() {
            return;
        }
        let known = async {
            while !self.known().read {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(most, known).await.is_err() {
            tracing::warn!(
                "the journal is away, so nothing is known of pauses: all targets are called until it is back"
            );
        }
    }

    async fn look(&self) {
        let Some(journal) = &self.0.journal else {
            return;
        };
        let looking = async {
            self.write(journal).await?;
            let before = self.known().changes;
            Ok::<_, JournalError>((before, journal.pauses().await?))
        };
        match tokio::time::timeout(ANSWER_WITHIN, looking).await {
            Ok(Ok((before, pauses))) => self.learn(before, pauses),
            Ok(Err(error)) => tracing::debug!(%error, "pauses unknown; the last known ones hold"),
            Err(_) => tracing::debug!("pauses unknown; the last known ones hold"),
        }
    }

    fn learn(&self, before: u64, pauses: Vec<Pause>) {
        let named = |it: Pause| Some((key_of(&it)?, it));
        let held: HashMap<Key, Pause> = pauses.into_iter().filter_map(named).collect();
        let known = self.0.known.write();
        let mut known = known.unwrap_or_else(PoisonError::into_inner);
        // Something was paused or resumed here meanwhile: the next look sees that too.
        if known.changes != before {
            return;
        }
        let new = held.keys().filter(|key| !known.held.contains_key(*key));
        let new: Vec<Key> = new.cloned().collect();
        known.held = held;
        known.read = true;
        drop(known);
        for key in new {
            tracing::info!(callback_target = %key, "paused: what comes for it is parked");
            self.well(&key);
        }
    }

    /// Brings into the journal what was paused here by itself.
    async fn write(&self, journal: &Journal) -> Result<(), JournalError> {
        let unwritten: Vec<(Key, Pause)> = {
            let known = self.known();
            let pairs = known.unwritten.iter();
            pairs.map(|(key, it)| (key.clone(), it.clone())).collect()
        };
        for (key, pause) in unwritten {
            let new = journal.pause(&pause).await?;
            {
                let mut known = self.change();
                known.unwritten.remove(&key);
                known.held.entry(key).or_insert_with(|| pause.clone());
            }
            let audit = Audit {
                at: pause.at,
                who: pause.who,
                action: "pause".to_owned(),
                subject: pause.name,
                reason: pause.reason,
                count: 1,
            };
            if new && let Err(error) = journal.audit(&audit).await {
                tracing::error!(%error, ?audit, "the audit log lacks an entry");
            }
        }
        Ok(())
    }

    /// A call has ended so: pauses its target where the settings say so.
    pub(crate) fn ended(&self, key: Option<&Key>, outcome: &Outcome) {
        let auto = self.0.auto;
        let Some(key) = key.filter(|_| auto != AutoPause::default()) else {
            return;
        };
        let gone = matches!(outcome, Outcome::Answered { status: 410, .. });
        if auto.on_gone && gone {
            return self.pause_it(key, "it answered 410 Gone".to_owned());
        }
        match Ended::of(outcome, Duration::ZERO).end {
            End::Neutral => {}
            End::Success => self.well(key),
            End::Failure if auto.after.is_zero() => {}
            End::Failure => {
                let failed_for = self.fails(key, Instant::now());
                if failed_for >= auto.after {
                    let after = humantime(failed_for);
                    let label = outcome.label();
                    let reason = format!("no sign of life for {after}; at last {label}");
                    self.pause_it(key, reason);
                }
            }
        }
    }

    fn fails(&self, key: &Key, now: Instant) -> Duration {
        let failing = self.0.failing.lock();
        let mut failing = failing.unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = failing.get(key) {
            return now.duration_since(*since);
        }
        if failing.len() < MOST_FAILING {
            failing.insert(key.clone(), now);
        }
        Duration::ZERO
    }

    fn well(&self, key: &Key) {
        let failing = self.0.failing.lock();
        failing.unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// A call that was under way when it was paused pauses nothing once more.
    fn pause_it(&self, key: &Key, reason: String) {
        self.well(key);
        if self.holds(key) {
            return;
        }
        tracing::warn!(callback_target = %key, reason, "paused by itself: resume it when it is well");
        let pause = made(key, AUTO.to_owned(), reason);
        let mut known = self.change();
        let into = match self.0.journal {
            Some(_) => &mut known.unwritten,
            None => &mut known.held,
        };
        into.insert(key.clone(), pause);
    }
}

/// Whole seconds are enough.
fn humantime(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, _) => format!("{minutes} min"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

fn made(key: &Key, who: String, reason: String) -> Pause {
    Pause {
        kind: match key {
            Key::Callee(_) => PauseKind::Callee,
            Key::Target(_) => PauseKind::Target,
        },
        name: key.to_string(),
        who,
        at: unix_ms(SystemTime::now()),
        reason,
    }
}

/// Whom a pause means. `None`: a target that is none, of a later version.
fn key_of(pause: &Pause) -> Option<Key> {
    match pause.kind {
        PauseKind::Callee => Some(Key::Callee(pause.name.as_str().into())),
        PauseKind::Target => Key::named(&pause.name).ok(),
    }
}

#[cfg(test)]
mod tests;
