//! What do callers and targets see when a part dies? Late answers and repeats at worst; never a
//! lost callback, and never one that was refused.

mod alarm;
mod broker_gone;
mod dispatcher_killed;
mod half_open;
mod topology_gone;

use std::time::Duration;

use tests::GatewayOptions;
use tests::callers::Answer;

/// The default `broker.publish_timeout`: no caller waits longer for a 503.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

/// "At once": far below any publish deadline here.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What two busy cores may add to a deadline.
const SLACK: Duration = Duration::from_secs(10);

/// How long the gateway may take to notice a change of the broker.
const NOTICED: Duration = Duration::from_secs(60);

/// How many callers call at once.
const CALLERS: usize = 64;

/// A gateway whose callers wait for the broker as long as they do by default.
fn options() -> GatewayOptions {
    let deadline = format!("{}s", PUBLISH_DEADLINE.as_secs());
    GatewayOptions::default().with("RINGBACK__BROKER__PUBLISH_TIMEOUT", &deadline)
}

/// How long nine of ten answers took at most: a stall of the machine holds up a few.
fn nine_of_ten<'a>(answers: impl IntoIterator<Item = &'a Answer>) -> Duration {
    let mut took: Vec<Duration> = answers.into_iter().map(|it| it.took).collect();
    took.sort_unstable();
    took[took.len() * 9 / 10]
}
