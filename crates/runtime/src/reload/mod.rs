//! Reloads settings into a running process: all of them or none.
//!
//! On SIGHUP, and when the content of the settings file (or of a file that the settings name) has
//! changed, everything is read and checked again. Each subscriber first *prepares* what follows
//! from the new settings, and may refuse them; only when all have agreed is anything replaced. A
//! change that needs a restart is named in a warning.
//!
//! - `metrics.rs`: whether the last reload succeeded

mod metrics;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::config::{
    Config, ConfigError, FileFingerprints, KeyFingerprints, Loaded, SettingsShown, Source,
};
use crate::service_manager::ServiceManager;
pub use metrics::ReloadMetrics;

/// How often the files are compared. A change counts once two comparisons find the same content: a
/// file may be half written.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Puts prepared settings in force. It cannot fail.
pub type Commit = Box<dyn FnOnce() + Send>;

type Subscriber<T> = Box<dyn Fn(&T) -> Result<Commit, ConfigError> + Send>;

/// Reads settings again for the parts of a process that use them.
pub struct Reload<T> {
    state: ReloadState<T>,
    hang_up: Option<Signal>,
    asked: Arc<Notify>,
}

/// Asks for a reload, and tells how the last one ended. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReloadHandle {
    asked: Arc<Notify>,
    last: watch::Receiver<Option<ReloadResult>>,
    shown: watch::Receiver<SettingsShown>,
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadResult {
    /// Unix ms.
    pub at: u64,
    /// Why the new settings were rejected. `None`: they are in force.
    pub refused: Option<String>,
    /// The changed keys that need a restart.
    pub restart: Vec<String>,
}

impl ReloadHandle {
    /// Reads the settings again, as SIGHUP does.
    pub fn reload(&self) {
        self.asked.notify_one();
    }

    /// How the last reload ended. `None`: there was none since the start.
    pub fn last(&self) -> Option<ReloadResult> {
        self.last.borrow().clone()
    }

    /// The settings as they were read last without being refused. Keys that need a restart are named by
    /// [`ReloadHandle::last`].
    pub fn shown(&self) -> SettingsShown {
        self.shown.borrow().clone()
    }
}

struct ReloadState<T> {
    source: Source,
    /// The keys at the start: those that need a restart are still in force.
    at_start: KeyFingerprints,
    /// The keys in force.
    current: KeyFingerprints,
    /// The files when they were last read, and at the last comparison.
    read: FileFingerprints,
    seen: FileFingerprints,
    /// The sections and keys that can change while the process runs.
    reloadable: &'static [&'static str],
    subscribers: Vec<Subscriber<T>>,
    last: watch::Sender<Option<ReloadResult>>,
    shown: watch::Sender<SettingsShown>,
}

impl<T: Config + Send + 'static> Reload<T> {
    /// Starts from the settings that were loaded first. `reloadable` are the sections (`callees`)
    /// and keys (`dispatcher.attempt_timeout`) that subscribers replace. With `hang_up`, SIGHUP
    /// reloads and no longer ends the process.
    ///
    /// Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// When the system does not let the process listen for the signal.
    pub fn new(
        loaded: &Loaded<T>,
        reloadable: &'static [&'static str],
        hang_up: bool,
    ) -> io::Result<Self> {
        let hang_up = hang_up.then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(Self {
            state: ReloadState {
                source: loaded.source.clone(),
                at_start: loaded.keys.clone(),
                current: loaded.keys.clone(),
                read: loaded.files.clone(),
                seen: loaded.files.clone(),
                reloadable,
                subscribers: Vec::new(),
                last: watch::Sender::new(None),
                shown: watch::Sender::new(loaded.shown()),
            },
            hang_up,
            asked: Arc::default(),
        })
    }

    /// Adds a part of the process that uses settings. In the order of subscription, each one checks
    /// the new settings and returns what puts them in force.
    pub fn subscribe(
        &mut self,
        subscriber: impl Fn(&T) -> Result<Commit, ConfigError> + Send + 'static,
    ) {
        self.state.subscribers.push(Box::new(subscriber));
    }

    /// A handle for those that ask for reloads or for their results.
    pub fn handle(&self) -> ReloadHandle {
        ReloadHandle {
            asked: Arc::clone(&self.asked),
            last: self.state.last.subscribe(),
            shown: self.state.shown.subscribe(),
        }
    }

    /// Reloads changed settings until `stop`.
    pub async fn run(
        self,
        metrics: ReloadMetrics,
        service_manager: ServiceManager,
        stop: CancellationToken,
    ) {
        let Self {
            mut state,
            mut hang_up,
            asked,
        } = self;
        let mut check = tokio::time::interval(CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let signalled = tokio::select! {
                () = stop.cancelled() => return,
                _ = check.tick() => false,
                Some(()) = received(&mut hang_up) => true,
                () = asked.notified() => true,
            };
            let (metrics, service_manager) = (metrics.clone(), service_manager.clone());
            // Reading files may block.
            let step = spawn_blocking(move || {
                if signalled || state.has_changed() {
                    service_manager.reloading();
                    state.reload(&metrics);
                    service_manager.reloaded();
                }
                state
            });
            match step.await {
                Ok(after) => state = after,
                Err(error) => {
                    tracing::error!(%error, "settings are no longer reloaded; changes need a restart");
                    return;
                }
            }
        }
    }
}

async fn received(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

impl<T: Config> ReloadState<T> {
    /// Whether the files differ from those last read, and have not changed since the last
    /// comparison.
    fn has_changed(&mut self) -> bool {
        let now = self.seen.now();
        let changed = now == self.seen && now != self.read;
        self.seen = now;
        changed
    }

    fn reload(&mut self, metrics: &ReloadMetrics) {
        let reloaded = self.try_reload();
        metrics.reloaded(reloaded.is_ok());
        self.last.send_replace(Some(result_of(&reloaded)));
        match reloaded {
            Err(error) => tracing::error!(
                %error,
                "the new settings are rejected as a whole; the previous ones stay in force"
            ),
            Ok(ChangedKeys { applied, restart }) => {
                let changed = applied.join(", ");
                tracing::info!(changed, "settings reloaded");
                if !restart.is_empty() {
                    let keys = restart.join(", ");
                    tracing::warn!(keys, "changed settings need a restart to take effect");
                }
            }
        }
    }

    fn try_reload(&mut self) -> Result<ChangedKeys, ConfigError> {
        // Rejected or not, this content is not read again unless it changes.
        let before = self.source.file_fingerprint().and(&self.read.now());
        (self.read, self.seen) = (before.clone(), before);
        let loaded = self.source.load::<T>()?;
        let shown = loaded.shown();
        let Loaded {
            settings,
            keys,
            files,
            ..
        } = loaded;
        (self.read, self.seen) = (files.clone(), files);
        let prepared: Result<Vec<Commit>, _> = self
            .subscribers
            .iter()
            .map(|subscriber| subscriber(&settings))
            .collect();
        for commit in prepared.map_err(|error| error.with_variable(T::NAMED_SECTIONS))? {
            commit();
        }
        let is_reloadable = |key: &String| {
            let mut reloadable = self.reloadable.iter();
            reloadable.any(|reloadable| covers(reloadable, key))
        };
        let changed = keys.changed(&self.current).into_iter();
        let applied = changed.filter(is_reloadable).collect();
        let differing = keys.changed(&self.at_start).into_iter();
        let restart = differing.filter(|key| !is_reloadable(key)).collect();
        self.current = keys;
        self.shown.send_replace(shown);
        Ok(ChangedKeys { applied, restart })
    }
}

/// The keys that a reload has found changed.
struct ChangedKeys {
    /// In force from now on.
    applied: Vec<String>,
    /// Different from the start of the process, and in force only after a restart.
    restart: Vec<String>,
}

fn result_of(reloaded: &Result<ChangedKeys, ConfigError>) -> ReloadResult {
    ReloadResult {
        at: now_ms(),
        refused: reloaded.as_ref().err().map(ToString::to_string),
        restart: match reloaded {
            Ok(changed) => changed.restart.clone(),
            Err(_) => Vec::new(),
        },
    }
}

/// Whether the key is this one, or in this section.
fn covers(reloadable: &str, key: &str) -> bool {
    key.strip_prefix(reloadable)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
