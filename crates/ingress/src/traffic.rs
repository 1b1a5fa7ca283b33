//! How the requests of each app were answered in the last minute. Bounded: in the mode `open` callers
//! name apps as they like.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::Answer;
use contract::control::{AppFigures, AppsSeen, MAX_LISTED};
use tokio::time::Instant;

use crate::auth::excerpt;

/// How many apps are counted apart. All further ones are counted together.
const MAX_APPS: usize = 2_000;

/// The length of one step, in seconds.
const STEP: u64 = 10;

/// A minute, and the step that has begun.
const STEPS: usize = 7;

/// At most one line of an app in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The requests of each app in this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AppTraffic(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started_at: Instant,
    windows: Mutex<Windows>,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Accepted,
    Refused,
    Limited,
}

#[derive(Debug, Default)]
struct Windows {
    apps: HashMap<String, Window>,
    others: Window,
    /// The step in which idle apps were last removed.
    swept: u64,
}

/// The last minute of one app.
#[derive(Clone, Debug, Default)]
struct Window {
    /// Accepted, refused, limited.
    steps: [[u32; 3]; STEPS],
    /// The number of the newest step since time zero.
    newest: u64,
    logged_at: Option<Duration>,
    suppressed: u64,
}

impl Default for AppTraffic {
    fn default() -> Self {
        Self(Arc::new(Shared {
            started_at: Instant::now(),
            windows: Mutex::default(),
        }))
    }
}

impl AppTraffic {
    fn with<T>(&self, work: impl FnOnce(&mut Windows, Duration) -> T) -> T {
        let windows = self.0.windows.lock();
        let mut windows = windows.unwrap_or_else(PoisonError::into_inner);
        work(&mut windows, self.0.started_at.elapsed())
    }

    /// A callback of this app was accepted.
    pub(crate) fn accepted(&self, app_id: &str) {
        self.with(|windows, now| _ = windows.record(app_id, Kind::Accepted, now));
    }

    /// A request of this app was answered so. Once a second a 429 or 403 is logged.
    pub(crate) fn rejected(&self, app_id: &str, answer: &Answer) {
        let (kind, is_logged) = match answer {
            Answer::TooManyRequests { .. } => (Kind::Limited, true),
            Answer::Forbidden => (Kind::Refused, true),
            _ => (Kind::Refused, false),
        };
        let permitted = self.with(|windows, now| {
            let window = windows.record(app_id, kind, now);
            is_logged.then(|| window.permit_line(now)).flatten()
        });
        if let Some(suppressed) = permitted {
            let http_status = answer.http_status();
            tracing::warn!(app = %excerpt(app_id), http_status, suppressed, "a request of an app is refused");
        }
    }

    /// The apps with the most requests in the last minute.
    pub fn apps(&self) -> AppsSeen {
        self.with(|windows, now| windows.seen(now))
    }
}

impl Windows {
    fn record(&mut self, app_id: &str, kind: Kind, now: Duration) -> &mut Window {
        let step = step_of(now);
        if self.apps.len() >= MAX_APPS && self.swept != step && !self.apps.contains_key(app_id) {
            self.swept = step;
            self.apps.retain(|_, window| window.sums(now) != [0; 3]);
        }
        let full = self.apps.len() >= MAX_APPS;
        let window = match self.apps.contains_key(app_id) {
            false if full => &mut self.others,
            false => self.apps.entry(app_id.to_owned()).or_default(),
            true => match self.apps.get_mut(app_id) {
                Some(window) => window,
                None => &mut self.others, // Unreachable: it is there.
            },
        };
        window.record(kind, step);
        window
    }

    fn seen(&self, now: Duration) -> AppsSeen {
        let figures = |app_id: &str, window: &Window| {
            let [accepted, refused, limited] = window.sums(now);
            AppFigures {
                app_id: app_id.to_owned(),
                accepted,
                refused,
                limited,
                in_flight: 0,
            }
        };
        let apps = self
            .apps
            .iter()
            .map(|(app_id, window)| figures(app_id, window));
        let mut apps: Vec<AppFigures> = apps.filter(|app| app.requests() > 0).collect();
        apps.sort_by(|a, b| {
            let most_first = b.requests().cmp(&a.requests());
            most_first.then_with(|| a.app_id.cmp(&b.app_id))
        });
        let mut others = figures("", &self.others);
        for app in apps.split_off(apps.len().min(MAX_LISTED)) {
            others.add(&app);
        }
        AppsSeen { apps, others }
    }
}

impl Window {
    fn record(&mut self, kind: Kind, step: u64) {
        let step = step.max(self.newest);
        let passed = (step - self.newest).min(STEPS as u64);
        for back in 0..passed {
            self.steps[index(step - back)] = [0; 3];
        }
        self.newest = step;
        let at = match kind {
            Kind::Accepted => 0,
            Kind::Refused => 1,
            Kind::Limited => 2,
        };
        let count = &mut self.steps[index(step)][at];
        *count = count.saturating_add(1);
    }

    /// Accepted, refused, limited in the last minute.
    fn sums(&self, now: Duration) -> [u64; 3] {
        let first = step_of(now).saturating_sub(STEPS as u64 - 1);
        let oldest = self.newest.saturating_sub(STEPS as u64 - 1).max(first);
        let mut sums = [0; 3];
        for step in oldest..=self.newest {
            for (sum, count) in sums.iter_mut().zip(self.steps[index(step)]) {
                *sum += u64::from(count);
            }
        }
        sums
    }

    /// Whether a line may be written now: if so, how many were suppressed before it.
    fn permit_line(&mut self, now: Duration) -> Option<u64> {
        if self
            .logged_at
            .is_some_and(|at| now.saturating_sub(at) < LOG_INTERVAL)
        {
            self.suppressed = self.suppressed.saturating_add(1);
            return None;
        }
        self.logged_at = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

fn step_of(now: Duration) -> u64 {
    now.as_secs() / STEP
}

fn index(step: u64) -> usize {
    // Below STEPS: nothing is truncated.
    usize::try_from(step % STEPS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_busiest_app_is_first_and_requests_count_for_a_minute() {
        let mut windows = Windows::default();
        for number in 0..30 {
            windows.record("flooder", Kind::Limited, at(number * 100));
        }
        windows.record("shop", Kind::Accepted, at(3_000));
        windows.record("shop", Kind::Refused, at(20_000));
        let seen = windows.seen(at(59_000));
        let figures =
            |app: &AppFigures| (app.app_id.clone(), app.accepted, app.refused, app.limited);
        let found: Vec<_> = seen.apps.iter().map(figures).collect();
        let expected = [
            ("flooder".to_owned(), 0, 0, 30),
            ("shop".to_owned(), 1, 1, 0),
        ];
        assert_eq!(found, expected);
        let later = windows.seen(at(75_000));
        assert_eq!(
            later.apps.iter().map(figures).collect::<Vec<_>>(),
            [("shop".to_owned(), 0, 1, 0)]
        );
        assert_eq!(windows.seen(at(200_000)), AppsSeen::default());
    }

    #[test]
    fn the_number_of_apps_is_bounded_and_idle_ones_make_room() {
        let mut windows = Windows::default();
        for number in 0..MAX_APPS + 10 {
            windows.record(&number.to_string(), Kind::Accepted, at(0));
        }
        assert_eq!(windows.apps.len(), MAX_APPS);
        let seen = windows.seen(at(0));
        assert_eq!(seen.apps.len(), MAX_LISTED);
        let all: u64 = seen.apps.iter().map(|app| app.accepted).sum();
        assert_eq!(
            all + seen.others.accepted,
            u64::try_from(MAX_APPS + 10).unwrap()
        );
        windows.record("new", Kind::Accepted, at(120_000));
        assert_eq!(windows.seen(at(120_000)).apps[0].app_id, "new");
    }

    #[test]
    fn one_line_a_second_of_each_app_says_how_many_were_suppressed() {
        let mut window = Window::default();
        let lines: Vec<u64> = (0..3_000)
            .filter_map(|millis| window.permit_line(at(millis)))
            .collect();
        assert_eq!(lines, [0, 999, 999]);
    }
}
