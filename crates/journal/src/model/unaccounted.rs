//! Callbacks whose end may not have been recorded, and those that are marked `unaccounted`.

use contract::CallbackStatus;
use uuid::Uuid;

/// How many unfinished callbacks one page examines.
pub(crate) const EXAMINED_ROWS: u32 = 1_000;

/// Since when a callback is marked, and what it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unaccounted {
    /// Its last known status: `Queued` or `Retrying`.
    pub last_status: CallbackStatus,
    /// Unix ms.
    pub since: u64,
}

/// The merge key of a row, in the order of its columns: generation, progress, updated_at, tiebreak.
/// It changes with every record that wins.
pub(crate) type RowVersion = [i64; 4];

/// An unfinished callback whose due time is long past: its last record may have been lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverdueCallback {
    /// The callback.
    pub request_id: Uuid,
    /// Its callee's number, if it has one.
    pub callee_no: Option<String>,
    /// Scheme, host and port of its target; empty: unknown.
    pub target: String,
    /// When its next attempt was due, or else its last record, Unix ms.
    pub due_at: u64,
    /// What the row held when it was read.
    pub(crate) version: RowVersion,
}

/// Overdue callbacks among some of the unfinished ones, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverduePage {
    /// Those that are overdue.
    pub overdue: Vec<OverdueCallback>,
    /// The callback after which the next page begins, if there is one.
    pub next: Option<Uuid>,
}

/// An unfinished row as it was read.
#[derive(Debug)]
pub(crate) struct UnfinishedRow {
    pub(crate) overdue: OverdueCallback,
    /// A replay has taken it, and will be published again if its publisher crashed.
    pub(crate) in_replay: bool,
}

impl OverduePage {
    /// The page of the rows that a query for [`EXAMINED_ROWS`] has found, in the order of their ids.
    pub(crate) fn of(rows: Vec<UnfinishedRow>, due_before: u64) -> Self {
        let examined = usize::try_from(EXAMINED_ROWS).unwrap_or(usize::MAX);
        let last = rows.last().filter(|_| rows.len() >= examined);
        let next = last.map(|row| row.overdue.request_id);
        let overdue = rows
            .into_iter()
            .filter(|row| !row.in_replay && row.overdue.due_at < due_before)
            .map(|row| row.overdue);
        Self {
            overdue: overdue.collect(),
            next,
        }
    }
}
