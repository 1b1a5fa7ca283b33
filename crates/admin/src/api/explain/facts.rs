//! What is known of a callback besides its row: who holds it, and what stands in its way.

use std::time::Duration;

use crate::doctor::said::Said;

/// What is known. `None`: it is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::api) struct CallbackFacts {
    /// Whom it was possible to ask. `None`: nobody was asked, as for lists.
    pub(in crate::api) asked: Option<Asked>,
    /// The process that holds it.
    pub(in crate::api) holder: Option<Holder>,
    /// Its callee or target, as all processes together see it.
    pub(in crate::api) target: Option<TargetFacts>,
    /// The pauses that concern it, each as a sentence.
    pub(in crate::api) pauses: Vec<Said>,
    /// Why the broker cannot be used now; `None`: it can.
    pub(in crate::api) broker: Option<String>,
    /// Exchanges and queues at fault; `None`: none is.
    pub(in crate::api) faults: Option<String>,
    /// The queue that it waits in when it is due.
    pub(in crate::api) queue: DueQueue,
    /// Batches of records that the journal has not taken yet.
    pub(in crate::api) unwritten: Option<u32>,
    /// What its caller allowed, by its message.
    pub(in crate::api) limits: Option<CallerLimits>,
    /// Who cancelled it, or asked for that.
    pub(in crate::api) canceller: Option<Canceller>,
}

/// What a caller allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::api) struct CallerLimits {
    pub(in crate::api) max_attempts: Option<u32>,
    pub(in crate::api) expire_seconds: Option<u32>,
}

/// Who cancelled a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) enum Canceller {
    /// Nobody is known: its caller, or an operator whom the audit log does not name (any more).
    Unknown,
    /// By the audit log.
    Operator {
        name: String,
        reason: String,
        /// What was cancelled, if the log does not name the callback, and it is perhaps among that.
        among: Option<String>,
    },
}

/// The processes that were asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::api) struct Asked {
    /// How many have answered.
    pub(in crate::api) answered: usize,
    /// Those that answered recently and have not answered now.
    pub(in crate::api) silent: Vec<String>,
    /// False: others could not be asked.
    pub(in crate::api) complete: bool,
    /// How many of those that have answered make attempts.
    pub(in crate::api) dispatchers: usize,
}

/// The process that holds a callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct Holder {
    /// Role, machine and process id.
    pub(in crate::api) process: String,
    /// Unix ms.
    pub(in crate::api) since: u64,
    pub(in crate::api) queue: String,
    pub(in crate::api) attempt: u32,
    /// Whether its call is being made.
    pub(in crate::api) in_flight: bool,
}

/// A callee or target.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::api) struct TargetFacts {
    /// `closed`, `open` or `half_open`.
    pub(in crate::api) breaker: String,
    /// For how many apps it is not closed; `None`: a callee has one breaker for all.
    pub(in crate::api) breaker_apps: Option<u32>,
    /// These apps, as far as they are named.
    pub(in crate::api) breaker_app_ids: Vec<String>,
    /// Whether the callback's app is one of those that are named.
    pub(in crate::api) breaker_of_its_app: bool,
    /// Why it opened.
    pub(in crate::api) breaker_reason: Option<String>,
    /// Until the next probe.
    pub(in crate::api) probe_in: Option<Duration>,
    /// What remains of its `Retry-After`.
    pub(in crate::api) retry_after: Option<Duration>,
    pub(in crate::api) in_flight: u32,
    /// Messages in memory that wait for a permit.
    pub(in crate::api) waiting: u32,
    /// An estimate of how many calls it takes a second.
    pub(in crate::api) per_second: Option<f64>,
    /// The last call that did not deliver: its outcome with the cause, and its time, Unix ms.
    pub(in crate::api) last_error: Option<(String, u64)>,
}

/// A queue of due work.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::api) struct DueQueue {
    /// How many messages are ready in it.
    pub(in crate::api) ready: Option<u32>,
    /// How long the oldest due message has been due, of all queues.
    pub(in crate::api) oldest_due: Option<Duration>,
    /// How many messages are ready in all queues of work.
    pub(in crate::api) all_ready: Option<u32>,
    /// Calls per second of all processes, in the last five minutes; `None`: none.
    pub(in crate::api) per_second: Option<f64>,
}
