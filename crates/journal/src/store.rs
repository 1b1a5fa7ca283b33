//! The traits of a journal, by concern. An adapter implements all of them.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use uuid::Uuid;

use crate::error::JournalResult;
use crate::model::{
    AbsenceEvidence, AuditCursor, AuditEntry, AuditPage, BatchPart, BulkCounts, Callback,
    CallbackGroups, CallbackPage, CancelOutcome, CancelledMany, Claim, Claimed, ControlState,
    Cursor, EraseOutcome, ErasedMany, Filter, GroupBy, GroupLook, OverdueCallback, OverduePage,
    Pause, PauseKind, Record, RecorderInfo, RecorderState, Replay, ReplayOutcome, Replayable,
    Retention, RetentionProgress, RetryOutcome, RollupPoint, RollupQuery, UnfinishedCounts,
    UnfinishedStates, Waiting, WaitingDestination, WaitingMessage,
};
use crate::url::JournalUrl;

/// Everything that a journal does.
#[async_trait]
pub trait JournalStore:
    RecordStore
    + StreamStore
    + CallbackStore
    + CountStore
    + GroupStore
    + RollupStore
    + WaitingStore
    + ControlStore
    + IdempotencyStore
    + ReplayStore
    + RetryStore
    + RecoveryStore
    + EraseStore
    + PauseStore
    + AuditStore
    + RetentionStore
    + LeaseStore
    + UnaccountedStore
    + Debug
{
    /// Creates missing tables; several processes may do so at once.
    ///
    /// # Errors
    /// [`crate::JournalError::Incompatible`] if tables of another version exist.
    async fn migrate(&self) -> JournalResult<()>;

    /// Uses the user and the password of `url` for new connections, if it names the same database.
    /// Connections that are open stay; a file has none.
    fn use_credentials(&self, url: &JournalUrl);

    /// Closes all connections, or the file.
    async fn close(&self);
}

/// Writes what happened.
#[async_trait]
pub trait RecordStore: Send + Sync {
    /// Stores records: all or none. The order, repetitions, and the number of processes do not
    /// matter to the result.
    async fn record(&self, records: &[Record]) -> JournalResult<()> {
        self.record_batches(records, &[]).await
    }

    /// Stores the records of whole batches, and in the same transaction that these parts of their
    /// recorders' streams are stored, and what the records add to the rollups.
    async fn record_batches(&self, records: &[Record], batches: &[BatchPart]) -> JournalResult<()>;
}

/// Tells what the journal lacks: see `model/stream.rs`.
#[async_trait]
pub trait StreamStore: Send + Sync {
    /// Makes the recorder known, before anything of it is stored. `alone`: no other process uses this
    /// journal, so recorders that did not end by themselves have ended.
    async fn register(&self, recorder: &RecorderInfo, alone: bool, now: u64) -> JournalResult<()>;

    /// What bears on an id without a row. Read it, look for the row again, and only then decide by
    /// [`AbsenceEvidence::is_proof`].
    async fn absence_evidence(&self, request_id: Uuid) -> JournalResult<AbsenceEvidence>;

    /// A recorder, if it is known.
    async fn recorder(&self, id: Uuid) -> JournalResult<Option<RecorderState>>;

    /// The recorders that have not ended, and those that ended with something missing, newest first, at
    /// most 10,000.
    async fn recorders(&self) -> JournalResult<Vec<RecorderState>>;

    /// Takes the recorder for ended at `ended_at` (Unix ms), unless it was seen after `seen_at`.
    async fn end_recorder(&self, id: Uuid, seen_at: u64, ended_at: u64) -> JournalResult<bool>;

    /// Forgets recorders that ended before `settled` (Unix ms) with nothing missing, and all that ended
    /// before `any`. Returns how many.
    async fn forget_recorders(&self, settled: u64, any: u64) -> JournalResult<u64>;
}

/// Reads callbacks.
#[async_trait]
pub trait CallbackStore: Send + Sync {
    /// A callback with its attempts.
    async fn find(&self, request_id: Uuid) -> JournalResult<Option<Callback>>;

    /// The queue message of a callback that waits, is dead, or is kept after its delivery, if the
    /// journal has it.
    async fn message(&self, request_id: Uuid) -> JournalResult<Option<Bytes>>;

    /// The ids of callbacks from `first` to `last`, both included, in order, at most `limit`.
    async fn ids_between(&self, first: Uuid, last: Uuid, limit: u32) -> JournalResult<Vec<Uuid>>;

    /// A page of callbacks, newest first, by a look at so many entries of an index at most as
    /// [`CallbackPage::looked_back_to`] tells of. `now` in Unix ms.
    async fn list(
        &self,
        filter: &Filter,
        after: Option<Cursor>,
        limit: u32,
        now: u64,
    ) -> JournalResult<CallbackPage>;

    /// The causes of the last attempts of these callbacks, where they have one.
    async fn last_causes(&self, request_ids: &[Uuid]) -> JournalResult<HashMap<Uuid, String>>;

    /// How many callbacks match.
    async fn count(&self, filter: &Filter, now: u64) -> JournalResult<u64>;
}

/// Reads how many callbacks are unfinished. The figures are kept by transition, in the transaction
/// of each change: reading them does not read the callbacks.
#[async_trait]
pub trait CountStore: Send + Sync {
    /// The unfinished callbacks: in all, and of the `limit` apps that have the most.
    async fn unfinished(&self, limit: u32) -> JournalResult<UnfinishedCounts>;
}

/// Groups callbacks by what they have in common.
#[async_trait]
pub trait GroupStore: Send + Sync {
    /// The largest groups of the callbacks that match, by a look at so many entries of an index at most as `look`
    /// says. `now` in Unix ms.
    async fn groups(
        &self,
        filter: &Filter,
        by: GroupBy,
        look: GroupLook,
        now: u64,
    ) -> JournalResult<CallbackGroups>;
}

/// Reads the rollups: figures per minute, which the writer keeps in the transaction of each batch.
#[async_trait]
pub trait RollupStore: Send + Sync {
    /// The figures of a subject, oldest first. Steps of which nothing is known are left out.
    async fn rollup(&self, query: &RollupQuery) -> JournalResult<Vec<RollupPoint>>;
}

/// Reads what is unfinished for one callee or target.
#[async_trait]
pub trait WaitingStore: Send + Sync {
    /// The unfinished callbacks of a destination. Of each of their statuses at most `limit` are read,
    /// the oldest ones.
    async fn waiting(&self, destination: &WaitingDestination, limit: u32)
    -> JournalResult<Waiting>;

    /// In which states the unfinished callbacks are at `now` (Unix ms). Of each of their statuses at
    /// most `limit` are read, the oldest ones.
    async fn unfinished_states(&self, now: u64, limit: u32) -> JournalResult<UnfinishedStates>;
}

/// Controls waiting callbacks.
#[async_trait]
pub trait ControlStore: Send + Sync {
    /// What a worker must know of these callbacks; unknown ones are left out.
    async fn control_states(
        &self,
        request_ids: &[Uuid],
    ) -> JournalResult<HashMap<Uuid, ControlState>>;

    /// Cancels a callback; if an app is given, only a callback of that app. If its next attempt is
    /// due more than `margin` after `now` (Unix ms), it is `Cancelled` from then on; otherwise the
    /// request is stored.
    async fn cancel(
        &self,
        request_id: Uuid,
        app_id: Option<&str>,
        now: u64,
        margin: Duration,
    ) -> JournalResult<CancelOutcome>;

    /// Cancels at most `limit` matching callbacks that wait, oldest first, each as by
    /// [`ControlStore::cancel`]. One whose cancellation was requested before is not among them, so a
    /// step that finds none is the last.
    async fn cancel_matching(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
        margin: Duration,
    ) -> JournalResult<CancelledMany>;

    /// The callbacks that were cancelled, or whose cancellation was requested, at `since` (Unix ms)
    /// or later, with their generations. Newest first, a bounded number.
    async fn cancelled_since(&self, since: u64) -> JournalResult<Vec<(Uuid, u32)>>;
}

/// Idempotency keys.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Claims a key, atomically over all processes.
    async fn claim(&self, claim: &Claim) -> JournalResult<Claimed>;

    /// Marks the claim's message as confirmed by the broker.
    async fn confirm_claim(&self, app_id: &str, key: &str) -> JournalResult<()>;

    /// Ends the claim's lease because its publish failed: a repeated request may take it over at
    /// once, under the same id.
    async fn release_claim(&self, app_id: &str, key: &str) -> JournalResult<()>;
}

/// Dead letters, and their replay.
#[async_trait]
pub trait ReplayStore: Send + Sync {
    /// The queue message of a dead letter, while it is kept.
    async fn dead_letter(&self, request_id: Uuid) -> JournalResult<Option<Bytes>>;

    /// Takes at most `limit` matching dead letters for replay, oldest first; each begins its next
    /// generation. A filter for delivered callbacks takes those whose message is kept. Publish them, then call [`ReplayStore::confirm_replays`].
    async fn take_replays(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<Replay>>;

    /// Takes one callback for replay.
    async fn take_replay(
        &self,
        request_id: Uuid,
        which: Replayable,
        now: u64,
    ) -> JournalResult<ReplayOutcome>;

    /// Replays that were taken before `before` (Unix ms) and never confirmed, because their
    /// publisher crashed. They count as taken at `now`.
    async fn unfinished_replays(
        &self,
        before: u64,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<Replay>>;

    /// Marks these replays (id and generation) as published and confirmed.
    async fn confirm_replays(&self, published: &[(Uuid, u32)]) -> JournalResult<()>;

    /// Discards at most `limit` matching dead letters permanently; returns how many.
    async fn discard(&self, filter: &Filter, limit: u32) -> JournalResult<u64>;

    /// Discards one dead letter; `false` if it is not a dead letter.
    async fn discard_one(&self, request_id: Uuid) -> JournalResult<bool>;
}

/// Callbacks that wait, and their next attempt at once.
///
/// A retry is a compare-and-set on (generation, hold): it increments the hold, so copies of the older
/// hold are stale wherever they surface. Attempt numbers and the schedule go on.
#[async_trait]
pub trait RetryStore: Send + Sync {
    /// Takes at most `limit` matching callbacks whose next attempt is after `now` (Unix ms) and whose
    /// message the journal has, oldest first. They count as due at `now`. Publish them, then call
    /// [`RetryStore::confirm_retries`].
    async fn take_retries(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<WaitingMessage>>;

    /// Takes one callback that waits.
    async fn take_retry(&self, request_id: Uuid, now: u64) -> JournalResult<RetryOutcome>;

    /// Retries that were taken before `before` (Unix ms) and never confirmed, because their publisher
    /// crashed. They count as taken at `now`. What has progressed since is not among them.
    async fn unfinished_retries(
        &self,
        before: u64,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<WaitingMessage>>;

    /// Marks these retries (id, generation and hold) as published and confirmed.
    async fn confirm_retries(&self, published: &[(Uuid, u32, u32)]) -> JournalResult<()>;
}

/// What the journal can tell and give back of many callbacks.
#[async_trait]
pub trait RecoveryStore: Send + Sync {
    /// Counts what matches, by what can be done to it at `now` (Unix ms).
    async fn bulk_counts(&self, filter: &Filter, now: u64) -> JournalResult<BulkCounts>;

    /// Takes at most `limit` matching callbacks that have not ended and whose message the journal
    /// has, oldest first, as [`RetryStore::take_retries`] does, but keeps due times that are after
    /// `now` (Unix ms). For a broker that lost its messages: what it did not lose is stale then.
    ///
    /// Each is updated at `now`, so that a filter with `updated_before` takes it once. Publish them,
    /// then call [`RetryStore::confirm_retries`].
    async fn take_recoveries(
        &self,
        filter: &Filter,
        limit: u32,
        now: u64,
    ) -> JournalResult<Vec<WaitingMessage>>;
}

/// Erasure of personal data: the message, the caller's URL, and the answers of targets. The row with
/// its times and status stays. A dead letter is discarded with it, so that its copy in the queue is
/// removed.
#[async_trait]
pub trait EraseStore: Send + Sync {
    /// Erases at most `limit` matching callbacks that have ended and have something to erase, oldest
    /// first, those after this one.
    async fn erase(
        &self,
        filter: &Filter,
        after: Option<Uuid>,
        limit: u32,
    ) -> JournalResult<ErasedMany>;

    /// Erases one callback.
    async fn erase_one(&self, request_id: Uuid) -> JournalResult<EraseOutcome>;
}

/// Paused callees and targets.
#[async_trait]
pub trait PauseStore: Send + Sync {
    /// Puts a pause in force. `false` if it is in force already: the first one stays.
    async fn pause(&self, pause: &Pause) -> JournalResult<bool>;

    /// Ends a pause; returns the one that was in force.
    async fn resume(&self, kind: PauseKind, name: &str) -> JournalResult<Option<Pause>>;

    /// All pauses in force, oldest first.
    async fn pauses(&self) -> JournalResult<Vec<Pause>>;
}

/// The audit log.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends an entry.
    async fn append_audit(&self, entry: &AuditEntry) -> JournalResult<()>;

    /// Appends an entry, or adds it to the entry of the same operation, actor, action and reason:
    /// its count, and its subject if that is another one.
    async fn append_audit_part(&self, entry: &AuditEntry, operation: &str) -> JournalResult<()>;

    /// A page of the log, newest first. Of entries of the same millisecond, the last one written
    /// comes first.
    async fn audit_log(&self, after: Option<AuditCursor>, limit: u32) -> JournalResult<AuditPage>;
}

/// Removal of what is past its retention.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// One small step, without a long lock. A dead letter past its retention is discarded, which is
    /// written to the audit log.
    async fn apply_retention(
        &self,
        retention: Retention,
        now: u64,
    ) -> JournalResult<RetentionProgress>;
}

/// Callbacks whose end was not recorded.
#[async_trait]
pub trait UnaccountedStore: Send + Sync {
    /// Examines some unfinished callbacks after this one, oldest first, and returns those whose due
    /// time is before `due_before` (Unix ms). One that a replay has taken is not among them.
    async fn overdue(&self, due_before: u64, after: Option<Uuid>) -> JournalResult<OverduePage>;

    /// Marks these callbacks `Unaccounted` at `now` (Unix ms) where their rows are still as they
    /// were read; returns how many that were. A record that wins over the row's by the merge order
    /// revives it.
    async fn mark_unaccounted(&self, callbacks: &[OverdueCallback], now: u64)
    -> JournalResult<u64>;
}

/// Background work that one process does at a time.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Takes or extends the lease called `name` until `until`; `false` if another owner holds it at
    /// `now`. Both in Unix ms.
    async fn take_lease(
        &self,
        name: &str,
        owner: Uuid,
        now: u64,
        until: u64,
    ) -> JournalResult<bool>;
}
