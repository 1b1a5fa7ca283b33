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

/// An entry as it is read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredAuditEntry {
    /// What was written. The requests of one operation share an entry: it begins with the first of
    /// them, and the count is their sum.
    pub entry: AuditEntry,
    /// When the last of them ended, Unix ms.
    pub updated_at: u64,
}

/// The longest subject of an entry, in characters.
pub const MAX_AUDIT_SUBJECT: usize = 4_096;

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
    pub entries: Vec<StoredAuditEntry>,
    /// Where the next page begins, if there is one.
    pub next: Option<AuditCursor>,
}
