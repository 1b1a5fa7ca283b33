//! Filters and pages of callbacks.

use uuid::Uuid;

use contract::CallbackStatus;

use super::callback::Callback;

/// The maximum size of a page, whatever is requested.
pub(crate) const MAX_PAGE: u32 = 1_000;

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this app.
    pub app_id: Option<String>,
    /// For this callee.
    pub callee_no: Option<String>,
    /// For this target: scheme, host and port.
    pub target: Option<String>,
    /// With this stored status; `Delivering` matches what is due of `Queued` and `Retrying`, because
    /// that alone can be held by a process.
    pub status: Option<CallbackStatus>,
    /// With one of these stored statuses; empty: any. In addition to `status`.
    pub statuses: Vec<CallbackStatus>,
    /// Of this message type.
    pub message_type: Option<String>,
    /// Dead-lettered for this reason.
    pub reason: Option<String>,
    /// Deferred for this reason.
    pub deferred_reason: Option<String>,
    /// Whether it waits for the time that its caller asked for, not yet due and never attempted: those alone,
    /// or all others.
    pub delayed: Option<bool>,
    /// The last attempt got an answer with this HTTP status.
    pub http_status: Option<u16>,
    /// The last attempt ended with this outcome, by its label.
    pub outcome: Option<String>,
    /// Dead-lettered at this time (Unix ms) or later. Selects dead letters alone.
    pub dead_since: Option<u64>,
    /// Dead-lettered before this time (Unix ms). Selects dead letters alone.
    pub dead_until: Option<u64>,
    /// Accepted at this time (Unix ms) or later.
    pub since: Option<u64>,
    /// Accepted before this time (Unix ms).
    pub until: Option<u64>,
    /// Last updated before this time (Unix ms). A replay in many steps uses it, so that it does not
    /// take a callback twice that was dead-lettered again since it began.
    pub updated_before: Option<u64>,
    /// Whether to include callbacks that an operator discarded.
    pub discarded: bool,
}

/// Where a page begins: after this callback, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub Uuid);

/// Some callbacks, newest first by `request_id`, without their attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackPage {
    /// At most as many as requested.
    pub callbacks: Vec<Callback>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    /// The look ended here before the page was full: what was accepted before this time (Unix ms) was not looked
    /// at. The next page goes on from there. `None`: the page is full, or the list has ended.
    pub looked_back_to: Option<u64>,
}

/// How many entries of an index are looked at, for each status that it separates, and from which end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexLook {
    pub(crate) entries: u32,
    pub(crate) oldest_first: bool,
}

/// How many entries of an index a page of a list looks at. An operator who goes on wants what is further back, and
/// waits for it. Of the last attempt each needs a look of its own.
pub(crate) const fn max_looked_at(filter: &Filter, after: Option<Cursor>) -> u32 {
    let looks_at_attempts = filter.http_status.is_some() || filter.outcome.is_some();
    match (looks_at_attempts, after) {
        (true, None) => 2_000,
        (true, Some(_)) => 20_000,
        (false, None) => 5_000,
        (false, Some(_)) => 100_000,
    }
}

impl CallbackPage {
    /// The page of what was found from the horizon on, newest first: if nothing older than it was looked at, the
    /// next page begins there.
    pub(crate) fn of(mut callbacks: Vec<Callback>, limit: u32, horizon: Option<Uuid>) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_full = callbacks.len() > limit;
        callbacks.truncate(limit);
        if !is_full {
            return Self {
                callbacks,
                next: horizon.map(Cursor),
                looked_back_to: horizon.map(accepted_at),
            };
        }
        let last = callbacks.last();
        Self {
            next: last.map(|callback| Cursor(callback.origin.request_id)),
            callbacks,
            looked_back_to: None,
        }
    }
}

/// The time within a UUID v7, Unix ms.
pub(crate) fn accepted_at(request_id: Uuid) -> u64 {
    u64::try_from(request_id.as_u128() >> 80).unwrap_or(u64::MAX) // 48 bits.
}
