//! The journal: what happened to every callback.
//!
//! The hot path hands a [`Record`] to a [`Recorder`] and continues. Records reach a [`Journal`] in
//! batches, in any order and any number of times: storing a record twice changes nothing. What is
//! read back is a [`Callback`] with its attempts.
//!
//! - `model/`: what is written and read. `record.rs`, `batch.rs` (records on the wire),
//!   `callback.rs`, `query.rs`, `control.rs` (cancellation), `idempotency.rs`, `replay.rs`,
//!   `pause.rs`, `audit.rs`, `retention.rs`, `counts.rs` (unfinished callbacks of each app),
//!   `unaccounted.rs` (callbacks whose end was not recorded), `bulk.rs` (acts on many), `group.rs`.
//! - `merge/`: which of two records about a callback wins. Start here, after `record.rs`.
//! - `rollups.rs`: what a batch adds to the figures per minute, each thing once.
//! - `store.rs`: the traits that an adapter implements, by concern. `journal.rs`: [`Journal`], any
//!   adapter behind one type. `handle.rs`: a journal with its recorder. `error.rs`.
//! - `recorder/`: collects records in memory and writes them in batches; keeps them in local files
//!   while they cannot be written.
//! - `postgres/`, `sqlite/`: the two adapters, with the same file names. `column.rs`: conversions
//!   that both use.
//! - `conformance/`: the test suite that every adapter passes.
//! - `config.rs`: the settings section `journal`. `hosts.rs`: a URL with several servers;
//!   `url.rs`: [`JournalUrl`].

mod column;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
mod handle;
mod hosts;
mod journal;
mod merge;
mod model;
mod postgres;
mod recorder;
mod rollups;
mod sqlite;
mod store;
mod url;

pub use config::{JournalConfig, Keep};
pub use error::{JournalError, JournalResult};
pub use handle::JournalHandle;
pub use journal::Journal;
pub use model::{
    AbsenceEvidence, AppCount, AttemptRecord, AuditCursor, AuditEntry, AuditPage, BatchPart,
    BatchSpan, BulkCounts, Callback, CallbackGroup, CallbackGroups, CallbackPage, CancelOutcome,
    CancelledMany, Claim, Claimed, ControlState, Cursor, DecodedBatch, EraseOutcome, ErasedMany,
    Filter, GroupBy, GroupKey, GroupLook, LATENCY_BOUNDS_MS, MAX_AUDIT_SUBJECT, MAX_ROLLUP_NAMES,
    MAX_UNFINISHED_COUNTED, MINUTE_MS, OTHER_NAMES, Origin, OverdueCallback, OverduePage, Pause,
    PauseKind, Record, RecordedState, RecorderInfo, RecorderState, Replay, ReplayOutcome,
    Replayable, Retention, RetentionProgress, RetryOutcome, RollupFigures, RollupPoint,
    RollupQuery, RollupSubject, StoredAuditEntry, TargetAnswer, Unaccounted, UnfinishedCounts,
    UnfinishedStates, UnreadableBatch, WaitKind, Waiting, WaitingDestination, WaitingMessage,
    decode_batch, encode_batch, generated_at, retention_discards, retention_operation,
};
pub use recorder::{
    PendingAcceptance, RecordDropped, RecordSink, Recorder, RecorderOptions, Spool, SpoolContent,
};
pub use store::{
    AuditStore, CallbackStore, ControlStore, CountStore, EraseStore, GroupStore, IdempotencyStore,
    JournalStore, LeaseStore, PauseStore, RecordStore, RecoveryStore, ReplayStore, RetentionStore,
    RetryStore, RollupStore, StreamStore, UnaccountedStore, WaitingStore,
};
pub use url::JournalUrl;
