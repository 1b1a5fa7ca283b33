//! The values that the journal takes and returns.
//!
//! - `record.rs`: one thing that happened to a callback. `batch.rs`: records on the wire, with
//!   their versions.
//! - `callback.rs`: a callback as it is read back. `query.rs`: filters and pages.
//! - `control.rs`: what a worker checks before an attempt, and cancellation.
//! - `idempotency.rs`: claims on idempotency keys. `replay.rs`: dead letters that are tried again.
//! - `pause.rs`: paused callees and targets. `audit.rs`: who did what. `retention.rs`: how long
//!   things are kept. `counts.rs`: how many callbacks are unfinished. `unaccounted.rs`: those whose
//!   end was not recorded.
//! - `stream.rs`: the numbered stream of each recorder, and what of it is stored. `request_id.rs`.

mod audit;
mod batch;
mod callback;
mod control;
mod counts;
mod idempotency;
mod pause;
mod query;
mod record;
mod replay;
mod request_id;
mod retention;
mod stream;
mod unaccounted;

pub use audit::{AuditCursor, AuditEntry, AuditPage, MAX_AUDIT_SUBJECT, StoredAuditEntry};
pub use batch::{DecodedBatch, UnreadableBatch, decode_batch, encode_batch};
pub use callback::Callback;
pub(crate) use control::MAX_CANCELLED;
pub use control::{CancelOutcome, ControlState};
pub use counts::{AppCount, UnfinishedCounts};
pub use idempotency::{Claim, Claimed};
pub(crate) use idempotency::{ClaimAction, KEY_TTL_MS, StoredClaim};
pub use pause::{Pause, PauseKind};
pub(crate) use query::MAX_PAGE;
pub use query::{CallbackPage, Cursor, Filter};
pub use record::{AttemptRecord, Origin, Record, RecordedState};
pub use replay::{Replay, ReplayOutcome};
pub use request_id::generated_at;
pub(crate) use request_id::mark;
pub(crate) use retention::Remembered;
pub use retention::{
    MAX_UNFINISHED_COUNTED, Retention, RetentionProgress, retention_discards, retention_operation,
};
pub use stream::{AbsenceEvidence, BatchSpan, RecorderInfo, RecorderState};
pub(crate) use stream::{MAX_RECORDERS, StoredSpans};
pub(crate) use unaccounted::{EXAMINED_ROWS, RowVersion, UnfinishedRow};
pub use unaccounted::{OverdueCallback, OverduePage, Unaccounted};
