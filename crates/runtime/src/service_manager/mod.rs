//! Tells systemd (`Type=notify`) how the process is: ready, reloading or stopping, with a status for
//! people; and feeds its watchdog.
//!
//! A process is ready when `/readyz` first says so. One that waits for its broker until then asks
//! for more time to start, again and again: only one that hangs is killed. Once ready it stays so,
//! because systemd knows no way back.
//!
//! The watchdog is fed from the runtime that does the work, and only while the workers of all
//! listeners run too: a process whose threads are all blocked is restarted.
//!
//! - `heartbeats.rs`: whether the workers run

mod heartbeats;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::task::spawn_blocking;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub use heartbeats::Heartbeats;

use crate::health::Health;
use crate::text::one_line;

/// How often the state is looked at.
const TICK: Duration = Duration::from_millis(250);

/// How much more time a process that is not ready yet asks for, and how often.
const MORE_TIME: Duration = Duration::from_secs(60);
const ASK_FOR_TIME: Duration = Duration::from_secs(10);

/// systemd cuts off longer ones.
const MAX_STATUS_CHARACTERS: usize = 400;

/// The service manager, if there is one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ServiceManager(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    /// How often the watchdog must be fed; `None`: it is off.
    watchdog: Option<Duration>,
    /// Whether the process has said that it is ready.
    is_ready: AtomicBool,
    /// Whether a message could not be sent, which is logged once.
    has_failed: AtomicBool,
}

impl ServiceManager {
    /// The service manager that `NOTIFY_SOCKET` names.
    #[must_use]
    pub fn from_environment() -> Self {
        let is_there = std::env::var_os("NOTIFY_SOCKET").is_some_and(|path| !path.is_empty());
        Self(is_there.then(|| {
            Arc::new(Inner {
                watchdog: sd_notify::watchdog_enabled(),
                is_ready: AtomicBool::new(false),
                has_failed: AtomicBool::new(false),
            })
        }))
    }

    /// Says that the settings are being read again. May block for a moment.
    pub(crate) fn reloading(&self) {
        let Some(inner) = self.ready() else { return };
        let mut states = vec![NotifyState::Reloading];
        states.extend(NotifyState::monotonic_usec_now());
        inner.send(&states);
    }

    /// Says that the reload has ended: with new settings or the old ones, the process goes on. May
    /// block for a moment.
    pub(crate) fn reloaded(&self) {
        if let Some(inner) = self.ready() {
            inner.send(&[NotifyState::Ready]);
        }
    }

    /// Before it is ready a process must not say so by the end of a reload.
    fn ready(&self) -> Option<&Inner> {
        let inner = self.0.as_deref()?;
        inner.is_ready.load(Ordering::Acquire).then_some(inner)
    }

    /// Tells how the process is until it ends, also while it stops. `refused`: why the last reload was
    /// refused, if it was.
    pub async fn follow(
        self,
        health: Arc<Health>,
        heartbeats: Heartbeats,
        refused: impl Fn() -> Option<String> + Send + 'static,
        stop: CancellationToken,
    ) {
        let Some(inner) = self.0 else { return };
        let mut news = News::default();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A stop is told at once: the process may end before the next tick.
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled(), if !news.stopping => {}
            }
            let now = Instant::now();
            let mut states: Vec<NotifyState<'static>> = Vec::new();
            if stop.is_cancelled() {
                states.extend(news.stopping());
            } else if !inner.is_ready.load(Ordering::Acquire) {
                states.extend(match health.is_ready() {
                    true => Some(NotifyState::Ready),
                    false => news.more_time(now),
                });
            }
            let alive = |within| heartbeats.all_within(within);
            states.extend(news.watchdog(inner.watchdog, now, alive));
            let status = news.status(status(&health, refused(), stop.is_cancelled()));
            if states.is_empty() && status.is_none() {
                continue;
            }
            let inner = Arc::clone(&inner);
            let sending = spawn_blocking(move || {
                let mut states: Vec<NotifyState<'_>> = states;
                states.extend(status.as_deref().map(NotifyState::Status));
                // A reload may end while this is sent: it may say so from now on.
                let is_ready = states.iter().any(|it| matches!(it, NotifyState::Ready));
                inner.send(&states);
                if is_ready {
                    inner.is_ready.store(true, Ordering::Release);
                }
            });
            if sending.await.is_err() {
                return; // The runtime ends.
            }
        }
    }
}

impl Inner {
    fn send(&self, states: &[NotifyState]) {
        if let Err(error) = sd_notify::notify(states)
            && !self.has_failed.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "the service manager at NOTIFY_SOCKET cannot be told how the process is");
        }
    }
}

/// What was last said, and when.
#[derive(Debug, Default)]
struct News {
    stopping: bool,
    asked_at: Option<Instant>,
    fed_at: Option<Instant>,
    status: String,
}

impl News {
    fn stopping(&mut self) -> Option<NotifyState<'static>> {
        let is_new = !std::mem::replace(&mut self.stopping, true);
        is_new.then_some(NotifyState::Stopping)
    }

    fn more_time(&mut self, now: Instant) -> Option<NotifyState<'static>> {
        let is_due = self.asked_at.is_none_or(|at| now - at >= ASK_FOR_TIME);
        is_due.then(|| {
            self.asked_at = Some(now);
            let micros = u32::try_from(MORE_TIME.as_micros()).unwrap_or(u32::MAX);
            NotifyState::ExtendTimeoutUsec(micros)
        })
    }

    /// Twice in the watchdog's time, unless a worker has not run for half of it.
    fn watchdog(
        &mut self,
        time: Option<Duration>,
        now: Instant,
        alive: impl Fn(Duration) -> bool,
    ) -> Option<NotifyState<'static>> {
        let half = time? / 2;
        let is_due = self.fed_at.is_none_or(|at| now - at + TICK >= half);
        (is_due && alive(half.max(Duration::from_secs(3)))).then(|| {
            self.fed_at = Some(now);
            NotifyState::Watchdog
        })
    }

    /// The status, if it is another one.
    fn status(&mut self, status: String) -> Option<String> {
        let is_new = status != self.status;
        is_new.then(|| {
            self.status.clone_from(&status);
            status
        })
    }
}

/// The state of the process as one line for people, without secrets.
fn status(health: &Health, refused: Option<String>, is_stopping: bool) -> String {
    let state = match (is_stopping, health.is_ready()) {
        (true, _) => "stopping",
        (false, true) => "ready",
        (false, false) => "not ready",
    };
    let (broker, journal) = (health.broker(), health.journal());
    let mut status = format!("{state}; broker: {broker}; journal: {journal}");
    let stopped = health.stopped();
    if !stopped.is_empty() {
        status += &format!("; stopped by operators: {}", stopped.join(", "));
    }
    if let Some(reason) = refused {
        status += &format!("; the last reload was refused: {reason}");
    }
    one_line(&status)
        .chars()
        .take(MAX_STATUS_CHARACTERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_twice_in_its_time_while_the_workers_run() {
        let (start, minute) = (Instant::now(), Some(Duration::from_secs(60)));
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut news = News::default();
        let fed =
            |news: &mut News, time, now, alive: bool| news.watchdog(time, now, |_| alive).is_some();
        assert!(!fed(&mut news, None, at(0), true));
        assert!(fed(&mut news, minute, at(0), true));
        assert!(!fed(&mut news, minute, at(29), true));
        assert!(fed(&mut news, minute, at(30), true));
        assert!(!fed(&mut news, minute, at(60), false), "a worker hangs");
        assert!(fed(&mut news, minute, at(61), true));
    }

    #[test]
    fn more_time_is_asked_for_before_the_time_is_over() {
        let (start, mut news) = (Instant::now(), News::default());
        assert!(news.more_time(start).is_some());
        assert!(news.more_time(start + Duration::from_secs(9)).is_none());
        assert!(news.more_time(start + ASK_FOR_TIME).is_some());
        assert!(ASK_FOR_TIME * 2 < MORE_TIME);
    }
}
