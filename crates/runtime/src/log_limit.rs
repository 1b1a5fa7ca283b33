//! Log lines that strangers can cause, at most one a second of each kind.
//!
//! ```
//! static QUEUE_FULL: runtime::LogLimit = runtime::LogLimit::new();
//! if let Some(suppressed) = QUEUE_FULL.permit() {
//!     // tracing::warn!(suppressed, "callback rejected: the queue is full");
//!     # assert_eq!(suppressed, 0);
//! }
//! ```

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// At most one line of a kind in this time.
const INTERVAL: Duration = Duration::from_secs(1);

/// Limits the lines of one kind. Put it in a `static`, or where the kind belongs.
#[derive(Debug)]
pub struct LogLimit(Mutex<Window>);

/// The lines of one kind since the last one that was written.
#[derive(Debug, Default)]
pub(crate) struct Window {
    written_at: Option<Instant>,
    suppressed: u64,
}

impl LogLimit {
    /// Nothing has been logged yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Window {
            written_at: None,
            suppressed: 0,
        }))
    }

    /// Whether a line may be written now: if so, how many were suppressed before it.
    pub fn permit(&self) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.permit(Instant::now())
    }
}

impl Default for LogLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl Window {
    pub(crate) fn permit(&mut self, now: Instant) -> Option<u64> {
        let since = self.written_at.map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < INTERVAL) {
            self.suppressed += 1;
            return None;
        }
        self.written_at = Some(now);
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_says_how_many_were_suppressed() {
        let (mut window, begun) = (Window::default(), Instant::now());
        let lines: Vec<u64> = (0..5_000)
            .filter_map(|millis| window.permit(begun + Duration::from_millis(millis)))
            .collect();
        assert_eq!(lines, [0, 999, 999, 999, 999]);
    }
}
