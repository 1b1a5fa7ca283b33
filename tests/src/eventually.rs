//! How does a test wait? For a fact, with an end, and saying what it waited for.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// However little is done at a time, it comes to an end.
const AT_ALL: Duration = Duration::from_secs(15 * 60);
/// What a look has at least: the machine may have stood still until past the deadline.
const ONE_LOOK: Duration = Duration::from_secs(2);

/// What a look at the world gives: the fact awaited, or what is seen instead.
pub trait Look {
    /// The fact awaited.
    type Fact;

    /// The fact, or in words what is seen instead.
    ///
    /// # Errors
    /// When the fact is not there yet.
    fn fact(self) -> Result<Self::Fact, String>;
}

impl<T> Look for Option<T> {
    type Fact = T;

    fn fact(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing".to_owned())
    }
}

impl<T> Look for Result<T, String> {
    type Fact = T;

    fn fact(self) -> Result<T, String> {
        self
    }
}

/// Looks every 20 ms, then ever more slowly up to 200 ms, until `look` finds the fact.
///
/// # Panics
/// When it is not found `within` the time given, with `what` was awaited and what was seen last.
pub async fn eventually<L: Look>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> L,
) -> L::Fact {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    let mut last = "nothing: the first look did not end".to_owned();
    loop {
        let patience = deadline.max(Instant::now() + ONE_LOOK);
        match timeout_at(patience, look()).await.map(Look::fact) {
            Ok(Ok(fact)) => return fact,
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

/// Looks as [`eventually`] does until nothing is left of what `look` counts and describes, however
/// long that takes, as long as it becomes less.
///
/// # Panics
/// When it has not become less for the time `stuck`, with `what` was counted and what was seen last,
/// or is not over after a quarter of an hour.
pub async fn dwindles(
    what: &str,
    stuck: Duration,
    mut look: impl AsyncFnMut() -> Result<(usize, String), String>,
) {
    let (mut least, end) = (usize::MAX, Instant::now() + AT_ALL);
    while least > 0 {
        assert!(Instant::now() < end, "{least} {what} after {AT_ALL:?}");
        let what = format!("{what} to become fewer than {least}");
        least = eventually(&what, stuck, async || {
            let (left, seen) = look().await?;
            (left < least).then_some(left).ok_or(seen)
        })
        .await;
    }
}
