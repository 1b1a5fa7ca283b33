//! The values that the journal takes and returns.
//!
//! - `record.rs`: one thing that happened to a callback. `batch.rs`: records on the wire, with
//!   their versions.
//! - `callback.rs`: a callback as it is read back. `query.rs`: filters and pages.
//! - `control.rs`: what a worker checks before an attempt, and cancellation.
//! - `idempotency.rs`: claims on idempotency keys. `replay.rs`: dead letters, and callbacks that
//!   wait, that are tried again.
//! - `bulk.rs`: counts for acts on many callbacks, and erasure.
//! - `pause.rs`: pauses, and the switches. `audit.rs`: who did what. `retention.rs`: how long
//!   things are kept. `counts.rs`: how many callbacks are unfinished. `unaccounted.rs`: those whose
//!   end was not recorded.
//! - `stream.rs`: the numbered stream of each recorder, and what of it is stored. `request_id.rs`.
//! - `group.rs`: callbacks grouped by what they have in common.
//! - `waiting.rs`: what is unfinished for one callee or target. `rollup.rs`: figures per minute.

mod audit;
mod batch;
mod bulk;
mod callback;
mod control;
mod counts;
mod group;
mod idempotency;
mod pause;
mod query;
mod record;
mod replay;
mod request_id;
mod retention;
mod rollup;
mod stream;
mod unaccounted;
mod waiting;

pub use audit::{AuditCursor, AuditEntry, AuditPage, MAX_AUDIT_SUBJECT, StoredAuditEntry};
pub use batch::{DecodedBatch, UnreadableBatch, decode_batch, encode_batch};
pub use bulk::{BulkCounts, EraseOutcome, ErasedMany};
pub use callback::Callback;
pub(crate) use control::MAX_CANCELLED;
pub use control::{CancelOutcome, CancelledMany, ControlState};
pub use counts::{AppCount, UnfinishedCounts};
pub use group::{CallbackGroup, CallbackGroups, GroupBy, GroupKey, GroupLook, WaitKind};
pub(crate) use group::{GroupColumns, MAX_GROUPS, key_sql};
pub use idempotency::{Claim, Claimed};
pub(crate) use idempotency::{ClaimAction, KEY_TTL_MS, StoredClaim, keys_end_at};
pub use pause::{Pause, PauseKind};
pub use query::{CallbackPage, Cursor, Filter};
pub(crate) use query::{IndexLook, MAX_PAGE, accepted_at, max_looked_at};
pub use record::{AttemptRecord, Origin, Record, RecordedState, TargetAnswer};
pub use replay::{Replay, ReplayOutcome, Replayable, RetryOutcome, WaitingMessage};
pub use request_id::generated_at;
pub(crate) use request_id::mark;
pub(crate) use retention::Remembered;
pub use retention::{
    MAX_UNFINISHED_COUNTED, Retention, RetentionProgress, retention_discards, retention_operation,
};
pub use rollup::{
    LATENCY_BOUNDS_MS, MAX_ROLLUP_NAMES, MINUTE_MS, OTHER_NAMES, RollupFigures, RollupPoint,
    RollupQuery, RollupSubject,
};
pub use stream::{AbsenceEvidence, BatchPart, BatchSpan, RecorderInfo, RecorderState};
pub(crate) use stream::{MAX_RECORDERS, StoredSpans};
pub(crate) use unaccounted::{EXAMINED_ROWS, RowVersion, UnfinishedRow};
pub use unaccounted::{OverdueCallback, OverduePage, Unaccounted};
pub use waiting::{UnfinishedStates, Waiting, WaitingDestination};
