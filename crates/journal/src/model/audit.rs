//! The audit log: entries and pages.

/// Who did what, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Unix ms.
    pub occurred_at: u64,
    /// The name of a person or a system.
    pub actor: String,
    /// `replay`, `discard`, `cancel` and so on.
    pub action: String,
    /// What the action applied to, in words: an id or a filter.
    pub subject: String,
    /// The reason that the actor gave.
    pub reason: String,
    /// How many callbacks were affected.
    pub count: u64,
}

/// Where a page of the audit log begins: after this entry, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCursor {
    /// The entry's time, Unix ms.
    pub occurred_at: u64,
    /// The number of the entry: a millisecond can have several.
    pub id: u64,
}

/// Some entries of the audit log, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// At most as many as requested.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins, if there is one.
    pub next: Option<AuditCursor>,
}
