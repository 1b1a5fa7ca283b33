//! The journal's clock: whatever its process gives it, at best one that nobody sets.

use std::fmt;
use std::time::SystemTime;

/// Tells the time in Unix ms.
pub(crate) struct JournalClock(Box<dyn Fn() -> u64 + Send + Sync>);

impl JournalClock {
    pub(crate) fn new(now_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Box::new(now_ms))
    }

    /// The wall clock.
    pub(crate) fn wall() -> Self {
        Self::new(|| contract::unix_ms(SystemTime::now()))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for JournalClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JournalClock")
    }
}
