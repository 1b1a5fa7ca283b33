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
}
