//! The store's clock: the wall clock as it was when the directory was first opened since the boot of
//! the machine, plus the time since.
//!
//! A wall clock that is set to another time does not change when a delay ends, not even over a
//! restart: the file `clock` of the data directory says which time it was at which moment of this
//! boot. The time since is that since the boot, which goes on while the machine sleeps.

use super::directory::{CLOCK_FILE, replace_file};
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the time comes from.
pub(super) trait TimeSource: Debug + Send + Sync {
    /// The wall clock, in Unix ms.
    fn wall_ms(&self) -> u64;
    /// The time since some fixed point of this boot. It never steps.
    fn steady(&self) -> Duration;
    /// The name of this boot of the machine. `None`: not known, so that a moment of
    /// [`Self::steady`] means nothing to another process.
    fn boot(&self) -> Option<String>;
}

/// The clock of one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StoreClock {
    source: Arc<dyn TimeSource>,
    anchor: Anchor,
}

/// A moment by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Anchor {
    /// Ms, of [`TimeSource::steady`].
    steady: u64,
    /// Unix ms.
    time: u64,
}

impl StoreClock {
    /// A clock that shows the wall clock's time now.
    pub(super) fn new(source: Arc<dyn TimeSource>) -> Self {
        let anchor = Anchor {
            steady: millis(source.steady()),
            time: source.wall_ms(),
        };
        Self { source, anchor }
    }

    /// The clock of a data directory, which is locked: it goes on from where it was in this boot.
    pub(super) fn of(directory: &Path, source: Arc<dyn TimeSource>) -> Self {
        let Some(boot) = source.boot() else {
            return Self::new(source);
        };
        let file = directory.join(CLOCK_FILE);
        let known = fs::read_to_string(&file).ok();
        let known = known.and_then(|text| Anchor::parse(&text, &boot));
        if let Some(anchor) = known.filter(|known| known.steady <= millis(source.steady())) {
            return Self { source, anchor };
        }
        let this = Self::new(source);
        // The clock is right without it, unless the wall clock is set before the next start.
        if let Err(error) = replace_file(&file, this.anchor.text(&boot).as_bytes()) {
            tracing::warn!(file = %file.display(), %error, "failed to keep the store's clock");
        }
        this
    }

    /// Now, in Unix ms.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        let since = millis(self.source.steady()).saturating_sub(self.anchor.steady);
        self.anchor.time.saturating_add(since)
    }
}

impl Anchor {
    fn text(self, boot: &str) -> String {
        format!("{boot} {} {}\n", self.steady, self.time)
    }

    /// `None` if it is of another boot, or not whole.
    fn parse(text: &str, boot: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        if words.next()? != boot {
            return None;
        }
        let (steady, time) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        words.next().is_none().then_some(Self { steady, time })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The clocks of this machine.
#[derive(Debug)]
pub(super) struct SystemTimeSource {
    started: Instant,
}

impl SystemTimeSource {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl TimeSource for SystemTimeSource {
    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        millis(since)
    }

    #[cfg(target_os = "linux")]
    fn boot(&self) -> Option<String> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let boot = text.trim();
        (!boot.is_empty() && !boot.contains(' ')).then(|| boot.to_owned())
    }

    #[cfg(not(target_os = "linux"))]
    fn boot(&self) -> Option<String> {
        None
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

    use super::{Duration, SystemTimeSource, TimeSource};
    use std::sync::atomic::{AtomicI64, Ordering};

    /// The system's clock with the wall clock moved. The steady time is the real one.
    #[derive(Debug)]
    pub(in crate::embedded) struct MovedWallClock {
        system: SystemTimeSource,
        boot: &'static str,
        /// In ms.
        moved: AtomicI64,
    }

    impl MovedWallClock {
        pub(in crate::embedded) fn by(moved_ms: i64) -> Self {
            Self::in_boot("boot", moved_ms)
        }

        pub(in crate::embedded) fn in_boot(boot: &'static str, moved_ms: i64) -> Self {
            Self {
                system: SystemTimeSource::new(),
                boot,
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

        fn boot(&self) -> Option<String> {
            Some(self.boot.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::MovedWallClock;
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_wall_clock_that_is_set_does_not_move_the_stores_clock() {
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

    /// Clocks that stand still.
    #[derive(Debug)]
    struct Still {
        boot: Option<&'static str>,
        steady: AtomicU64,
        wall: u64,
    }

    impl TimeSource for Still {
        fn wall_ms(&self) -> u64 {
            self.wall
        }

        fn steady(&self) -> Duration {
            Duration::from_millis(self.steady.load(Ordering::Relaxed))
        }

        fn boot(&self) -> Option<String> {
            self.boot.map(str::to_owned)
        }
    }

    #[test]
    fn the_clock_of_a_directory_goes_on_within_a_boot() {
        let name = format!("ringback-clock-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let open = |boot, steady, wall| {
            let steady = AtomicU64::new(steady);
            let source = Arc::new(Still { boot, steady, wall });
            (StoreClock::of(&directory, source.clone()), source)
        };
        let (clock, source) = open(Some("a"), 1_000, 50_000);
        assert_eq!(clock.now_ms(), 50_000);
        source.steady.store(1_500, Ordering::Relaxed);
        assert_eq!(clock.now_ms(), 50_500);
        // Restarted with another wall clock, ahead and behind.
        for wall in [0, 90_000_000] {
            let (clock, _) = open(Some("a"), 2_000, wall);
            assert_eq!(clock.now_ms(), 51_000);
        }
        // Not known, or another boot: only the wall clock tells the time.
        assert_eq!(open(None, 3_000, 7).0.now_ms(), 7);
        assert_eq!(open(Some("b"), 100, 60_000).0.now_ms(), 60_000);
        assert_eq!(open(Some("b"), 200, 1).0.now_ms(), 60_100);
        // A moment before the one in the file, and files that are not whole.
        assert_eq!(open(Some("b"), 50, 61_000).0.now_ms(), 61_000);
        for damaged in ["", "b", "b 10 1", "b 10 x\n", "b 10 1 1\n", "\u{0}"] {
            fs::write(directory.join(CLOCK_FILE), damaged).unwrap();
            let (clock, _) = open(Some("b"), 60, 62_000);
            assert_eq!(clock.now_ms(), 62_000, "{damaged:?}");
            assert_eq!(open(Some("b"), 61, 1).0.now_ms(), 62_001);
        }
        fs::remove_dir_all(&directory).unwrap();
    }
}
