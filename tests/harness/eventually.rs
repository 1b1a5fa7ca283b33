//! Waiting for a condition with a deadline, and reporting what was seen last.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// Upper bound for [`until_none_left`], whatever the progress.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Each check gets at least this long: the machine may have stalled until past the deadline.
const MIN_CHECK_TIME: Duration = Duration::from_secs(2);

/// The result of one check: the value waited for, or what was seen instead.
pub trait Check {
    /// The value waited for.
    type Value;

    /// The value, or a description of what was seen instead.
    ///
    /// # Errors
    /// When the value is not there yet.
    fn value(self) -> Result<Self::Value, String>;
}

impl<T> Check for Option<T> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T> Check for Result<T, String> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self
    }
}

/// Repeats `check` every 20 ms, slowing down to 200 ms, until it gives a value.
///
/// # Panics
/// When there is none `within` the given time, with `what` was waited for and what was seen last.
pub async fn eventually<L: Check>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> L,
) -> L::Value {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    let mut last = "nothing: the first check did not end".to_owned();
    loop {
        let check_deadline = deadline.max(Instant::now() + MIN_CHECK_TIME);
        match timeout_at(check_deadline, check()).await.map(Check::value) {
            Ok(Ok(value)) => return value,
            Ok(Err(seen)) => last = seen,
            Err(_) => panic!("waited {within:?} for {what}; last seen: {last}"),
        }
        if Instant::now() >= deadline {
            panic!("waited {within:?} for {what}; last seen: {last}");
        }
        sleep(pause).await;
        pause = (pause * 5 / 4).min(LONGEST_PAUSE);
    }
}

/// Repeats `check`, which counts and describes what is left, until nothing is left. It may take as
/// long as it needs while there is progress.
///
/// # Panics
/// When the count has not decreased for the time `stuck`, with `what` was counted and what was seen
/// last, or after a quarter of an hour.
pub async fn until_none_left(
    what: &str,
    stuck: Duration,
    mut check: impl AsyncFnMut() -> Result<(usize, String), String>,
) {
    let (mut least, end) = (usize::MAX, Instant::now() + TOTAL_TIMEOUT);
    while least > 0 {
        assert!(
            Instant::now() < end,
            "{least} {what} after {TOTAL_TIMEOUT:?}"
        );
        let what = format!("{what} to become fewer than {least}");
        least = eventually(&what, stuck, async || {
            let (left, seen) = check().await?;
            (left < least).then_some(left).ok_or(seen)
        })
        .await;
    }
}
