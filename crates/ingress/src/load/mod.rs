//! What is unfinished, as admission sees it: the broker's depths, the journal's counts per app, and
//! what this process has accepted since they were read.
//!
//! - `recent.rs`: what was accepted in the last seconds
//! - `follow.rs`: reads the journal's counts each second

mod follow;
mod recent;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use broker::Depths;
use journal::UnfinishedCounts;
use tokio::sync::watch;
use tokio::time::Instant;

use self::recent::RecentlyAccepted;
use crate::admission::{AppLoad, Load};
use crate::metrics::AppSample;

pub(crate) use self::follow::follow;

/// How many apps a reading holds: those with the most.
const MAX_APPS: u32 = 1_000;

/// How many apps have series of their own.
const MAX_NAMED_APPS: usize = 20;

/// The time that a callback may take until a reading counts it: its record to the journal, or the
/// reading itself.
const RECORD_TIME: Duration = Duration::from_secs(1);

/// What was accepted longer ago is in every reading.
const MAX_RECENT: Duration = Duration::from_secs(6);

/// What is unfinished. One for each process.
pub(crate) struct LoadTracker {
    depths: watch::Receiver<Depths>,
    started_at: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    reading: Reading,
    recent: RecentlyAccepted,
    /// The delay queues as last seen, and since when: then they were read.
    delayed: (Option<u64>, Duration),
    /// Messages in the delay queues that the journal knew to have ended, when that was last known.
    stale: u64,
}

/// The journal's counts as last read.
#[derive(Default)]
struct Reading {
    apps: HashMap<String, AppLoad>,
    /// When it was begun; `None`: never.
    at: Option<Duration>,
}

/// What one reading of the broker says. `None`: never read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct BrokerLoad {
    due: Option<u64>,
    delayed: Option<u64>,
    journal_batches: Option<u64>,
    /// Whether the figures of the delay queues and of the journal's queue are of now.
    is_current: bool,
}

impl LoadTracker {
    pub(crate) fn new(depths: watch::Receiver<Depths>) -> Self {
        Self {
            depths,
            started_at: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// What is unfinished of all apps and of this one.
    pub(crate) fn of(&self, app_id: &str) -> (Load, AppLoad) {
        let broker = BrokerLoad::of(&self.depths.borrow());
        let now = self.now();
        self.with(|state| {
            state.observe(&broker, now);
            (state.load(&broker, now), state.of_app(app_id, now))
        })
    }

    /// A callback was accepted; `waits` if its first attempt is not due at once.
    pub(crate) fn accepted(&self, app_id: &str, waits: bool) {
        let now = self.now();
        self.with(|state| state.recent.add(app_id, waits, now));
    }

    fn now(&self) -> Duration {
        self.started_at.elapsed()
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// From when on what was accepted may be missing in a reading of this time.
fn since(read_at: Duration, now: Duration) -> Duration {
    let since = read_at.max(now.saturating_sub(MAX_RECENT));
    since.saturating_sub(RECORD_TIME)
}

impl BrokerLoad {
    fn of(depths: &Depths) -> Self {
        let known = |depth: broker::Depth| depth.last_known().map(u64::from);
        let due = [depths.first, depths.retry].into_iter().filter_map(known);
        Self {
            // What is known of one queue counts, even if the other was never read.
            due: due.reduce(u64::saturating_add),
            delayed: known(depths.delayed),
            journal_batches: known(depths.journal),
            is_current: depths.delayed.current().is_some() && depths.journal.current().is_some(),
        }
    }
}

impl State {
    /// Notes when the delay queues were read: when their figure changed.
    fn observe(&mut self, broker: &BrokerLoad, now: Duration) {
        if broker.delayed != self.delayed.0 {
            self.delayed = (broker.delayed, now);
        }
    }

    fn load(&self, broker: &BrokerLoad, now: Duration) -> Load {
        let (_, read_at) = self.delayed;
        let recent = self.recent.waiting_since(since(read_at, now));
        Load {
            due: broker.due,
            delayed: broker.delayed.map(|delayed| delayed.saturating_add(recent)),
            stale: self.stale,
            journal_batches: broker.journal_batches,
        }
    }

    /// The figure of the last reading, plus what was accepted since; no more than a few seconds are
    /// added, however old the reading is, because most of what was accepted has ended since.
    fn of_app(&self, app_id: &str, now: Duration) -> AppLoad {
        let Some(read_at) = self.reading.at else {
            return AppLoad::default();
        };
        let known = self.reading.apps.get(app_id).copied().unwrap_or_default();
        let recent = self.recent.of_app(app_id, since(read_at, now));
        AppLoad {
            due: known.due.saturating_add(recent.due),
            waiting: known.waiting.saturating_add(recent.waiting),
        }
    }

    /// Takes in the journal's counts, whose reading began at `at`.
    fn read(&mut self, counts: UnfinishedCounts, broker: &BrokerLoad, at: Duration, now: Duration) {
        let app = |app: journal::AppCount| {
            let load = AppLoad {
                due: app.unfinished.saturating_sub(app.waiting),
                waiting: app.waiting,
            };
            (app.app_id, load)
        };
        self.reading = Reading {
            apps: counts.apps.into_iter().map(app).collect(),
            at: Some(at),
        };
        self.observe(broker, now);
        // Otherwise the last value holds.
        if broker.is_current && broker.journal_batches == Some(0) {
            let (_, read_at) = self.delayed;
            // Perhaps not in the counts yet.
            let recent = self.recent.waiting_since(since(read_at.min(at), now));
            let waiting = counts.waiting.saturating_add(recent);
            self.stale = broker.delayed.unwrap_or(0).saturating_sub(waiting);
        }
    }

    /// The apps with the most, and the rest as one.
    fn samples(&self, now: Duration) -> Vec<AppSample> {
        let mut samples: Vec<AppSample> = self
            .reading
            .apps
            .keys()
            .map(|app_id| {
                let load = self.of_app(app_id, now);
                AppSample {
                    app_id: app_id.clone(),
                    unfinished: load.due.saturating_add(load.waiting),
                    waiting: load.waiting,
                }
            })
            .collect();
        samples.sort_by(|one, other| {
            let most_first = other.unfinished.cmp(&one.unfinished);
            most_first.then_with(|| one.app_id.cmp(&other.app_id))
        });
        // An app of that name has no series of its own.
        let other = samples
            .iter()
            .position(|app| app.app_id == AppSample::OTHER);
        let other = other.map(|at| samples.remove(at));
        let named = samples.len().min(MAX_NAMED_APPS);
        let rest = samples.split_off(named);
        let mut others = AppSample {
            app_id: AppSample::OTHER.to_owned(),
            unfinished: 0,
            waiting: 0,
        };
        for app in rest.iter().chain(&other) {
            others.unfinished = others.unfinished.saturating_add(app.unfinished);
            others.waiting = others.waiting.saturating_add(app.waiting);
        }
        samples.push(others);
        samples
    }
}

#[cfg(test)]
mod tests;
