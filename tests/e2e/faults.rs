//! What do callers and targets see when a part dies? Late answers and repeats at worst; never a
//! lost callback, and never one that was refused.

mod alarm;
mod broker_gone;
mod dispatcher_killed;
mod half_open;
mod topology_gone;

use std::time::Duration;

/// The default `broker.publish_timeout`: no caller waits longer for a 503.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(5);

/// What two busy cores may add to a deadline.
const SLACK: Duration = Duration::from_secs(2);

/// How long the gateway may take to notice a change of the broker.
const NOTICED: Duration = Duration::from_secs(20);

/// How many callers call at once.
const CALLERS: usize = 64;
