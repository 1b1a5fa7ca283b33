//! How do new settings come into a running process, all of them or none?
//!
//! On SIGHUP, and when the content of the settings file (or of a file that the settings name) has
//! changed, everything is read and checked anew. Each part of the process that holds settings first
//! *prepares* what follows from the new ones, and may refuse them; only when all have agreed is
//! anything replaced. What cannot change while the process runs is named in a warning.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::settings::{Loaded, Marks, Prints, Settings, SettingsError, Source};

/// How often the files are looked at. A change counts when it looks the same twice: a file that is
/// being written is half a file.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Puts in place what was prepared. Nothing in it can fail.
pub type Commit = Box<dyn FnOnce() + Send>;

type User = Box<dyn Fn(&Settings) -> Result<Commit, SettingsError> + Send>;

/// Reads settings again for the parts of a process that use them.
pub struct Reload {
    state: State,
    hang_up: Option<Signal>,
}

struct State {
    source: Source,
    /// As at the start: what cannot change has not changed since.
    begun: Marks,
    /// As they hold now.
    marks: Marks,
    /// What the files looked like when they were last read, and at the last look.
    read: Prints,
    seen: Prints,
    /// The keys, or beginnings of keys, that can change while the process runs.
    live: &'static [&'static str],
    users: Vec<User>,
}

impl Reload {
    /// Begins with the settings that were loaded at the start. `live` are the sections (`callees`)
    /// and keys (`dispatcher.attempt_timeout`) that its users replace; `hang_up`: SIGHUP reloads,
    /// and no longer ends the process.
    ///
    /// Call it inside a Tokio runtime.
    ///
    /// # Errors
    /// When the system does not let the process listen for the signal.
    pub fn new(loaded: &Loaded, live: &'static [&'static str], hang_up: bool) -> io::Result<Self> {
        let hang_up = hang_up.then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(Self {
            state: State {
                source: loaded.source.clone(),
                begun: loaded.marks.clone(),
                marks: loaded.marks.clone(),
                read: loaded.prints.clone(),
                seen: loaded.prints.clone(),
                live,
                users: Vec::new(),
            },
            hang_up,
        })
    }

    /// Adds a part of the process that holds settings. It is asked in the order of adding whether
    /// new settings will do, and answers with what puts them in place.
    pub fn tell(
        &mut self,
        user: impl Fn(&Settings) -> Result<Commit, SettingsError> + Send + 'static,
    ) {
        self.state.users.push(Box::new(user));
    }

    /// Follows the settings until `stop`.
    pub async fn run(self, metrics: Arc<Metrics>, stop: CancellationToken) {
        let Self {
            mut state,
            mut hang_up,
        } = self;
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                () = stop.cancelled() => return,
                _ = look.tick() => false,
                Some(()) = heard(&mut hang_up) => true,
            };
            let metrics = Arc::clone(&metrics);
            // Files may lie on a disk that hangs.
            let step = spawn_blocking(move || {
                if asked || state.has_changed() {
                    state.again(&metrics);
                }
                state
            });
            match step.await {
                Ok(after) => state = after,
                Err(error) => {
                    tracing::error!(%error, "settings are no longer followed: restart to change them");
                    return;
                }
            }
        }
    }
}

async fn heard(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

impl State {
    /// Whether the files differ from what was last read, and are not being written just now.
    fn has_changed(&mut self) -> bool {
        let now = self.seen.now();
        let changed = now == self.seen && now != self.read;
        self.seen = now;
        changed
    }

    fn again(&mut self, metrics: &Metrics) {
        let read = self.read_again();
        metrics.settings_reloaded(read.is_ok());
        match read {
            Err(error) => tracing::error!(
                %error,
                "new settings are refused as a whole; those that were read before still hold"
            ),
            Ok(Changes { live, restart }) => {
                let changed = live.join(", ");
                tracing::info!(changed, "settings are read again");
                if !restart.is_empty() {
                    let keys = restart.join(", ");
                    tracing::warn!(keys, "changed in the settings, but this needs a restart");
                }
            }
        }
    }

    fn read_again(&mut self) -> Result<Changes, SettingsError> {
        // Refused or not, this content is not read again unless it changes.
        let before = self.source.prints().and(&self.read.now());
        (self.read, self.seen) = (before.clone(), before);
        let Loaded {
            settings,
            marks,
            prints,
            ..
        } = self.source.load()?;
        (self.read, self.seen) = (prints.clone(), prints);
        let prepared: Result<Vec<Commit>, _> =
            self.users.iter().map(|user| user(&settings)).collect();
        for commit in prepared? {
            commit();
        }
        let is_live = |key: &String| self.live.iter().any(|live| covers(live, key));
        let changed = marks.changed(&self.marks).into_iter();
        let live = changed.filter(is_live).collect();
        let differing = marks.changed(&self.begun).into_iter();
        let restart = differing.filter(|key| !is_live(key)).collect();
        self.marks = marks;
        Ok(Changes { live, restart })
    }
}

/// What a reload has changed: keys.
struct Changes {
    live: Vec<String>,
    restart: Vec<String>,
}

/// Whether the key is this one, or in this section.
fn covers(live: &str, key: &str) -> bool {
    key.strip_prefix(live)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests;
