//! The store's clock: the wall clock as it was when the store was opened, plus the time since.
//!
//! A wall clock that is set to another time does not change when a delay ends. The time since is
//! that since the boot of the machine, which goes on while it sleeps.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from.
pub(super) trait TimeSource: Debug + Send + Sync {
    /// The wall clock, in Unix ms.
    fn wall_ms(&self) -> u64;
    /// The time since some fixed point. It never steps.
    fn steady(&self) -> Duration;
}

/// The clock of one store. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct StoreClock {
    source: Arc<dyn TimeSource>,
    /// Unix ms.
    opened_at: u64,
    opened: Duration,
}

impl StoreClock {
    /// A clock that shows the wall clock's time now.
    pub(super) fn new(source: Arc<dyn TimeSource>) -> Self {
        Self {
            opened_at: source.wall_ms(),
            opened: source.steady(),
            source,
        }
    }

    pub(super) fn system() -> Self {
        Self::new(Arc::new(SystemTimeSource {
            started: Instant::now(),
        }))
    }

    /// Now, in Unix ms.
    pub(super) fn now_ms(&self) -> u64 {
        let since = self.source.steady().saturating_sub(self.opened);
        let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.opened_at.saturating_add(since)
    }
}

#[derive(Debug)]
struct SystemTimeSource {
    started: Instant,
}

impl TimeSource for SystemTimeSource {
    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    #[cfg(target_os = "linux")]
    fn steady(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::try_from(time).unwrap_or_else(|_| self.started.elapsed())
    }

    #[cfg(not(target_os = "linux"))]
    fn steady(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
pub(super) mod testing {
    //! A wall clock that a test sets.

    use super::{Duration, Instant, SystemTimeSource, TimeSource};
    use std::sync::atomic::{AtomicI64, Ordering};

    /// The system's clock with the wall clock moved. The steady time is the real one.
    #[derive(Debug)]
    pub(in crate::embedded) struct MovedWallClock {
        system: SystemTimeSource,
        /// In ms.
        moved: AtomicI64,
    }

    impl MovedWallClock {
        pub(in crate::embedded) fn by(moved_ms: i64) -> Self {
            Self {
                system: SystemTimeSource {
                    started: Instant::now(),
                },
                moved: AtomicI64::new(moved_ms),
            }
        }

        pub(in crate::embedded) fn move_to(&self, moved_ms: i64) {
            self.moved.store(moved_ms, Ordering::Relaxed);
        }
    }

    impl TimeSource for MovedWallClock {
        fn wall_ms(&self) -> u64 {
            let moved = self.moved.load(Ordering::Relaxed);
            self.system.wall_ms().saturating_add_signed(moved)
        }

        fn steady(&self) -> Duration {
            self.system.steady()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::MovedWallClock;
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_does_not_move_the_stores_clock() {
        const DAY: i64 = 86_400_000;
        let source = Arc::new(MovedWallClock::by(0));
        let clock = StoreClock::new(source.clone());
        let (before, wall) = (clock.now_ms(), source.wall_ms());
        assert!(before.abs_diff(wall) < 1_000);
        for moved in [DAY, -DAY] {
            source.move_to(moved);
            assert!(source.wall_ms().abs_diff(wall) > 80_000_000);
            let now = clock.now_ms();
            assert!((before..before + 10_000).contains(&now), "{before} {now}");
        }
    }
}
