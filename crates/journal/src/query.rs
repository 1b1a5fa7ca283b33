//! Which callbacks does an operator want to see?

use uuid::Uuid;

use crate::callback::{Callback, Status};

/// Every condition that is there must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this app.
    pub app_id: Option<String>,
    /// For this callee.
    pub callee_no: Option<String>,
    /// For this target, as scheme, host and port.
    pub target: Option<String>,
    /// With this status, as stored: `Delivering` matches what is due of `Queued` and `Retrying`.
    pub status: Option<Status>,
    /// Of this message type.
    pub message_type: Option<String>,
    /// Given up for this reason.
    pub reason: Option<String>,
    /// Accepted at this moment or later, Unix ms.
    pub since: Option<u64>,
    /// Accepted before this moment, Unix ms.
    pub until: Option<u64>,
    /// Of which nothing was recorded at this moment (Unix ms) or later (`updated_at`): so that a
    /// replay in many steps does not take again what has died again since it began.
    pub updated_before: Option<u64>,
    /// Whether those that an operator discarded are to be seen too.
    pub discarded: bool,
}

/// Where a page begins: behind this callback, in the order newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub Uuid);

/// Some callbacks, newest first by `request_id`, without their attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most as many as were asked for.
    pub callbacks: Vec<Callback>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}
