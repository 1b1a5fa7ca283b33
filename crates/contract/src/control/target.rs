//! The targets that a process calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Calls by the label of their outcome.
pub type OutcomeFigures = BTreeMap<String, u64>;

/// The callees and targets of one process, those with the most traffic first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetsSeen {
    /// At most [`MAX_LISTED`](super::MAX_LISTED).
    pub targets: Vec<TargetFigures>,
    /// How many are not listed.
    pub others: u64,
    /// The certificates of registered callees' hosts, at most [`MAX_LISTED`](super::MAX_LISTED): those
    /// that expire first, then those that were not seen.
    pub certificates: Vec<CertificateSeen>,
}

/// The certificate of a registered callee's host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateSeen {
    /// The name or address that is called with TLS.
    pub host: String,
    /// The end of its validity, Unix ms. `None`: the process has seen no handshake.
    pub not_after: Option<u64>,
    /// When it was last seen, Unix ms.
    pub seen_at: Option<u64>,
}

/// One callee or target as one process sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetFigures {
    /// The callee, or else:
    pub callee_no: Option<String>,
    /// Scheme, host and port.
    pub target: Option<String>,
    /// Calls in flight.
    pub in_flight: u32,
    /// Messages in memory that wait for a permit.
    pub waiting: u32,
    /// How many calls may be in flight. `None`: the process does not say.
    pub slots: Option<u32>,
    /// The rate limit. `None`: there is none.
    pub max_calls_per_day: Option<u64>,
    /// Calls since the process knows the target.
    pub totals: OutcomeFigures,
    /// Calls of the last five minutes.
    pub recent: OutcomeFigures,
    /// The last call that did not deliver.
    pub last_error: Option<LastErrorSeen>,
    /// `closed`, `half_open` or `open`: the worst among its apps.
    pub breaker: String,
    /// For how many apps it is not closed.
    pub breaker_apps: u32,
    /// These apps, the worst first, as many as the process names; of a callee none.
    pub breaker_app_ids: Vec<String>,
    /// Why it opened, in words.
    pub breaker_reason: Option<String>,
    /// How long until it admits a probe.
    pub probe_in_ms: Option<u64>,
    /// What remains of the target's `Retry-After`.
    pub retry_after_ms: Option<u64>,
    /// The durations of recent calls: numbers of buckets with their counts.
    pub durations: Vec<(u8, u32)>,
}

/// The last call that did not deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastErrorSeen {
    /// The label of its outcome.
    pub outcome: String,
    /// The target's HTTP status.
    pub http_status: Option<u16>,
    /// Why, in words for operators.
    pub cause: Option<String>,
    /// When it ended, Unix ms.
    pub at: u64,
}
