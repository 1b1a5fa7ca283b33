//! Failures of a part: at worst late answers and repeats, never a lost callback, and never a
//! delivery of a refused one.
//!
//! - `alarm.rs`, `broker_gone.rs`, `topology_gone.rs`: the broker blocks, dies, or loses a queue
//! - `half_open.rs`: the connection to the broker stalls
//! - `dispatcher_killed.rs`: a dispatcher dies during attempts

mod alarm;
mod broker_gone;
mod dispatcher_killed;
mod half_open;
mod topology_gone;

use std::time::Duration;

use tests::GatewayOptions;
use tests::callers::CallerAnswer;

/// The default of `broker.publish_timeout`: no caller waits longer for a 503.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

/// Far below any publish timeout here.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What two busy cores may add to a timeout.
const SLACK: Duration = Duration::from_secs(10);

/// How long the gateway may take to notice a change of the broker.
const NOTICED: Duration = Duration::from_secs(60);

/// Concurrent callers.
const CALLERS: usize = 64;

/// A gateway with the default publish timeout.
fn options() -> GatewayOptions {
    let deadline = format!("{}s", PUBLISH_DEADLINE.as_secs());
    GatewayOptions::default().with("RINGBACK__BROKER__PUBLISH_TIMEOUT", &deadline)
}

/// The time within which nine of ten answers came: a stall of the machine delays a few.
fn nine_of_ten<'a>(answers: impl IntoIterator<Item = &'a CallerAnswer>) -> Duration {
    let mut took: Vec<Duration> = answers.into_iter().map(|it| it.took).collect();
    took.sort_unstable();
    took[took.len() * 9 / 10]
}
