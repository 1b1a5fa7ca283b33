//! What this process accepted in the last seconds, in all and by app. Bounded.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::admission::AppLoad;

/// How many seconds are kept.
const SECONDS: usize = 8;

/// How many apps are counted in a second. What further apps send is counted in the total only.
const MAX_APPS: usize = 2_000;

/// The last seconds, oldest first.
#[derive(Debug, Default)]
pub(super) struct RecentlyAccepted(VecDeque<Second>);

#[derive(Debug)]
struct Second {
    number: u64,
    /// Of all apps: those that were not due at once.
    waiting: u64,
    apps: HashMap<String, AppLoad>,
}

impl RecentlyAccepted {
    pub(super) fn add(&mut self, app_id: &str, waits: bool, now: Duration) {
        let number = now.as_secs();
        if self.0.back().is_none_or(|newest| newest.number < number) {
            if self.0.len() == SECONDS {
                self.0.pop_front();
            }
            self.0.push_back(Second {
                number,
                waiting: 0,
                apps: HashMap::new(),
            });
        }
        let Some(second) = self.0.back_mut() else {
            return;
        };
        second.waiting += u64::from(waits);
        if let Some(app) = second.apps.get_mut(app_id) {
            app.count(waits);
        } else if second.apps.len() < MAX_APPS {
            let mut app = AppLoad::default();
            app.count(waits);
            second.apps.insert(app_id.to_owned(), app);
        }
    }

    /// Those that were not due at once, accepted then or later; the whole second counts.
    pub(super) fn waiting_since(&self, since: Duration) -> u64 {
        self.since(since).map(|second| second.waiting).sum()
    }

    /// Those of an app, accepted then or later; the whole second counts.
    pub(super) fn of_app(&self, app_id: &str, since: Duration) -> AppLoad {
        let mut sum = AppLoad::default();
        for app in self
            .since(since)
            .filter_map(|second| second.apps.get(app_id))
        {
            sum.due += app.due;
            sum.waiting += app.waiting;
        }
        sum
    }

    fn since(&self, since: Duration) -> impl Iterator<Item = &Second> {
        let first = since.as_secs();
        self.0.iter().filter(move |second| second.number >= first)
    }
}

impl AppLoad {
    const fn count(&mut self, waits: bool) {
        if waits {
            self.waiting += 1;
        } else {
            self.due += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn only_the_last_seconds_count() {
        let mut recent = RecentlyAccepted::default();
        recent.add("a", true, at(10));
        recent.add("a", false, at(10));
        recent.add("b", true, at(12));
        recent.add("a", true, at(12));
        let a = |since| recent.of_app("a", at(since));
        assert_eq!(a(10), AppLoad { due: 1, waiting: 2 });
        assert_eq!(a(11), AppLoad { due: 0, waiting: 1 });
        assert_eq!(a(13), AppLoad::default());
        assert_eq!(recent.waiting_since(at(0)), 3);
        assert_eq!(recent.waiting_since(at(12)), 2);
        // The clock of another thread may be a little behind.
        recent.add("a", true, at(11));
        assert_eq!(recent.waiting_since(at(12)), 3);
    }

    #[test]
    fn neither_seconds_nor_apps_grow_without_bound() {
        let mut recent = RecentlyAccepted::default();
        for second in 0..100 {
            for app in 0..MAX_APPS + 10 {
                recent.add(&app.to_string(), true, at(second));
            }
        }
        assert_eq!(recent.0.len(), SECONDS);
        assert!(recent.0.iter().all(|second| second.apps.len() == MAX_APPS));
        // The total counts all.
        let of_a_second = u64::try_from(MAX_APPS + 10).unwrap();
        assert_eq!(recent.waiting_since(at(99)), of_a_second);
    }
}
