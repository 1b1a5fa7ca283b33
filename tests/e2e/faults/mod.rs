//! Failures of a part: at worst late answers and repeats, never a lost callback, and never a
//! delivery of a refused one.
//!
//! - `alarm.rs`, `broker_gone.rs`, `topology_gone.rs`: the broker blocks, dies, or loses a queue
//! - `half_open.rs`: the connection to the broker stalls
//! - `silent_queue.rs`: one queue confirms nothing, or delivers nothing
//! - `silent_node.rs`: one node of three is stopped
//! - `failover.rs`: one node of three is down at the start, another one dies
//! - `nacks.rs`: a queue refuses messages
//! - `dispatcher_killed.rs`: a dispatcher dies during attempts
//! - `records.rs`: records cannot be published or stored

mod alarm;
mod broker_gone;
mod dispatcher_killed;
mod failover;
mod half_open;
mod nacks;
mod records;
mod silent_node;
mod silent_queue;
mod topology_gone;

use std::time::Duration;

use tests::callers::CallerAnswer;
use tests::{GatewayOptions, GatewayRole, Scenario, eventually};

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

/// The value of a series of a process, 0 while there is none.
async fn metric(scenario: &Scenario<'_>, role: GatewayRole, series: &str) -> u64 {
    let page = scenario.metrics(role).await;
    let prefix = format!("{series} ");
    let value = page.lines().find_map(|line| line.strip_prefix(&*prefix));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Waits until `/readyz` names this fault of a queue, or no longer does.
async fn fault_is(scenario: &Scenario<'_>, role: GatewayRole, fault: &str, named: bool) {
    let what = format!("{role:?} to name \"{fault}\": {named}");
    eventually(&what, NOTICED, async || {
        let (status, body) = scenario.get_details(role, "/readyz").await;
        assert_eq!(status, 200, "{body}");
        (body.contains(fault) == named).then_some(()).ok_or(body)
    })
    .await;
}

/// How many lines of a process's log contain this.
fn logged(log: &str, part: &str) -> usize {
    log.lines().filter(|line| line.contains(part)).count()
}
