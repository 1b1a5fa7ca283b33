//! What is known at one time. `None`, or an `Err` with the reason: not known.

use std::time::Duration;

use broker::{ConnectionState, Depths};
use runtime::ProcessUsage;

/// What the process that is asked knows.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Unix ms.
    pub(crate) now: u64,
    /// The state of the connection that publishes callbacks, or of the embedded store.
    pub(crate) publishing: ConnectionState,
    /// The state of all connections and the faults of single queues, as on `/readyz`.
    pub(crate) broker: String,
    /// The faults of single queues and exchanges; empty: none. `None`: the embedded store.
    pub(crate) topology: Option<String>,
    /// Whether this process makes attempts.
    pub(crate) dispatches: bool,
    pub(crate) journal: JournalFacts,
    pub(crate) queues: QueueFacts,
    pub(crate) disk: Option<DiskFacts>,
    pub(crate) usage: ProcessUsage,
    /// Of the hosts of callees that are called with TLS, as all processes that have answered saw them.
    pub(crate) certificates: Result<Vec<CertificateFacts>, String>,
    /// New settings that this process has refused.
    pub(crate) refused_settings: Option<RefusedReload>,
    /// All processes that have answered, this one included; `None`: they could not be asked.
    pub(crate) instances: Option<Vec<InstanceFacts>>,
    /// Processes that have answered before, and not now.
    pub(crate) silent: Vec<String>,
    /// The breakers that are not closed, of all processes that have answered.
    pub(crate) breakers: Vec<BreakerFacts>,
    pub(crate) pauses: Result<Vec<PauseFacts>, String>,
}

/// The journal.
#[derive(Clone, Debug)]
pub(crate) struct JournalFacts {
    /// As on `/readyz`.
    pub(crate) state: String,
    pub(crate) dead_letters: Result<DeadLetterFacts, String>,
    pub(crate) due: Result<DueFacts, String>,
}

/// How many dead letters there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeadLetterFacts {
    pub(crate) all: u64,
    /// Within the last day.
    pub(crate) since_yesterday: u64,
}

/// The callback that has been due for longest, among the oldest that are unfinished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DueFacts {
    /// Its id, and since when, Unix ms. `None`: none for longer than the limit of the question.
    pub(crate) oldest: Option<(String, u64)>,
    /// How many have been due for so long, of those that were looked at.
    pub(crate) overdue: usize,
}

/// The queues now and before.
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueFacts {
    pub(crate) depths: Depths,
    /// The oldest first.
    pub(crate) before: Vec<Sample>,
}

/// The depths at an earlier time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// How long ago.
    pub(crate) age: Duration,
    /// Due work that waits.
    pub(crate) backlog: u32,
    /// Batches of records that wait.
    pub(crate) journal: u32,
}

/// The disk of the embedded store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskFacts {
    pub(crate) free: u64,
    /// `broker.min_free_bytes`.
    pub(crate) floor: u64,
}

/// The certificate of a callee's host, as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFacts {
    pub(crate) host: String,
    /// The callees that are called there: `EO001 乐居新房`.
    pub(crate) callees: String,
    /// Unix ms; `None`: no process that has answered has seen a handshake.
    pub(crate) not_after: Option<u64>,
}

/// New settings that were refused as a whole; the previous ones are in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedReload {
    /// Unix ms.
    pub(crate) at: u64,
    /// The key, and what is wrong with its value.
    pub(crate) reason: String,
}

/// A process that has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceFacts {
    /// Role, machine and process.
    pub(crate) name: String,
    pub(crate) dispatches: bool,
    /// How far its clock is ahead of that of the process that is asked, in ms.
    pub(crate) clock_offset_ms: i64,
    /// Why it refused new settings; of this process, see [`Facts::refused_settings`].
    pub(crate) refused_settings: Option<String>,
}

/// A circuit breaker that is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BreakerFacts {
    /// The callee or target.
    pub(crate) name: String,
    /// `open` or `half open`: the worst of all processes.
    pub(crate) state: String,
    /// For how many apps, and for which as far as they are named; 0: a callee has one breaker for all.
    pub(crate) apps: u32,
    pub(crate) app_ids: Vec<String>,
    /// Why it opened.
    pub(crate) reason: Option<String>,
    pub(crate) probe_in: Option<Duration>,
}

/// A pause in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PauseFacts {
    pub(crate) name: String,
    pub(crate) by: String,
    /// Unix ms.
    pub(crate) since: u64,
    pub(crate) reason: String,
}

/// A node of RabbitMQ, as its management API shows it. `None`: it does not show that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name: `rabbit@host`.
    pub name: String,
    /// Whether it runs.
    pub running: Option<bool>,
    /// Open file descriptors, and how many it may have.
    pub files: Option<(u64, u64)>,
    /// Used memory, and the high watermark, in bytes.
    pub memory: Option<(u64, u64)>,
    /// Whether the alarm is on.
    pub memory_alarm: Option<bool>,
    /// Free disk, and the limit below which the alarm is raised, in bytes.
    pub disk: Option<(u64, u64)>,
    /// Whether the alarm is on.
    pub disk_alarm: Option<bool>,
}
